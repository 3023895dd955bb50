package io.penstock.shard.backend.cuda.ptx;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// What blocks of a cluster do with each other's shared memory, and what leaves it by the copy engine: above all, what
/// they must not do.
class TestInterpreterClusters {
    private static final int THREADS = 32;
    private static final int ROWS = 16;
    private static final int ROW_WORDS = 32;

    private final DeviceSpace space = new DeviceSpace();
    private final MemorySegment out = space.allocate(4L * 2 * THREADS);
    /// 16 rows of 128 bytes, of which a row's last 16 are not its own.
    private final MemorySegment rows = space.allocate(4L * ROWS * ROW_WORDS);

    private final MemorySegment map = space.allocate(128);

    @AfterEach
    void free() {
        space.close();
    }

    /// Two clusters of two blocks of a warp.
    ///
    /// @param body begins with %r1 as this thread's number, %r2 as the block's in its cluster, %r3 and %r4 as
    /// the addresses of 2 KiB and of two barriers, %p1 in all but the first thread, %rd1 as this thread's word
    /// of `out`, of which each block of the first cluster has 32, %rd2 as the map of `rows`
    private void run(String body, int seed) {
        for (int i = 0; i < ROWS * ROW_WORDS; i++) {
            rows.setAtIndex(ValueLayout.JAVA_INT, i, 1_000 + i);
        }
        TensorMaps.encode(
                map, rows.address(), 0, 3, new long[] {112, ROWS, 1}, new long[] {128, 128 * ROWS}, new int[] {128, 8, 1
                });
        String ptx = """
                .version 9.0
                .target sm_90a
                .address_size 64
                .visible .entry kernel(
                    .param .u64 kernel_param_0,
                    .param .u64 kernel_param_1
                )
                .maxntid 32
                .explicitcluster
                .reqnctapercluster 2, 1, 1
                {
                    .reg .pred %p<9>;
                    .reg .b16 %rs<4>;
                    .reg .b32 %r<30>;
                    .reg .b64 %rd<9>;
                    .shared .align 1024 .b8 room[2048];
                    .shared .align 8 .b8 barriers[16];
                    mov.u32 %r1, %tid.x;
                    mov.u32 %r2, %cluster_ctarank;
                    mov.u32 %r3, room;
                    mov.u32 %r4, barriers;
                    mov.u32 %r5, %ctaid.x;
                    setp.ne.s32 %p1, %r1, 0;
                    shl.b32 %r6, %r2, 5;
                    add.s32 %r6, %r6, %r1;
                    mul.wide.s32 %rd3, %r6, 4;
                    ld.param.u64 %rd1, [kernel_param_0];
                    add.s64 %rd1, %rd1, %rd3;
                    ld.param.u64 %rd2, [kernel_param_1];
                    shr.u32 %r7, %r5, 1;
                    setp.ne.s32 %p8, %r7, 0;
                    mov.u32 %r20, 0;
                """ + body + "\nret;\n}\n";
        new Interpreter(space, ptx)
                .launch("kernel", new int[] {4, 1, 1}, THREADS, 0, 3, seed, out.address(), map.address());
    }

    private int word(int block, int index) {
        return out.getAtIndex(ValueLayout.JAVA_INT, block * THREADS + index);
    }

    private static final String MEET =
            "barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;\n";

    /// Barrier 0 counts bytes, barrier 1 both blocks' arrivals.
    private static final String BARRIERS = """
            @%p1 bra $MADE;
            mbarrier.init.shared::cta.b64 [%r4], 1;
            add.s32 %r8, %r4, 8;
            mbarrier.init.shared::cta.b64 [%r8], 2;
            $MADE:
            bar.warp.sync -1;
            """ + MEET;

    /// Each block brings 8 rows, for both, waits for all 16, and stores word 3 of row %r1 / 2.
    private static final String SHARED_ROWS = """
            @%p1 bra $BROUGHT;
            mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r4], 2048;
            shl.b32 %r9, %r2, 10;
            add.s32 %r9, %r9, %r3;
            shl.b32 %r10, %r2, 3;
            mov.u16 %rs1, 3;
            cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%r9], [%rd2, {%r20, %r10, %r20}], [%r4], %rs1;
            $BROUGHT:
            bar.warp.sync -1;
            $WAITS:
            mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r4], 0;
            @!%p2 bra $WAITS;
            shr.u32 %r11, %r1, 1;
            and.b32 %r12, %r11, 7;
            shl.b32 %r12, %r12, 4;
            shl.b32 %r13, %r11, 7;
            add.s32 %r13, %r13, %r12;
            add.s32 %r13, %r13, %r3;
            ld.shared.u32 %r14, [%r13+12];
            @!%p8 st.global.u32 [%rd1], %r14;
            """;

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4})
    void whatABlockBringsForAllIsThereForAll(int seed) {
        run(BARRIERS + SHARED_ROWS + MEET, seed);
        for (int block = 0; block < 2; block++) {
            for (int i = 0; i < THREADS; i++) {
                assertThat(word(block, i)).isEqualTo(1_000 + i / 2 * ROW_WORDS + 3);
            }
        }
    }

    /// Of the other block's rows, once more.
    private static final String AGAIN = """
            @%p1 bra $DONE;
            mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r4], 2048;
            cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%r9], [%rd2, {%r20, %r10, %r20}], [%r4], %rs1;
            $AGAIN:
            mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r4], 1;
            @!%p2 bra $AGAIN;
            $DONE:
            bar.warp.sync -1;
            """;

    /// Tells both blocks that this one has read, and waits for both.
    private static final String RELEASE = """
            setp.gt.s32 %p3, %r1, 1;
            @%p3 bra $TOLD;
            add.s32 %r15, %r4, 8;
            mapa.shared::cluster.u32 %r16, %r15, %r1;
            mbarrier.arrive.shared::cluster.b64 _, [%r16];
            $TOLD:
            bar.warp.sync -1;
            add.s32 %r15, %r4, 8;
            $FREE:
            mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r15], 0;
            @!%p2 bra $FREE;
            """;

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4})
    void aBlockWritesIntoAnotherOnlyOnceThatOneHasRead(int seed) {
        run(BARRIERS + SHARED_ROWS + RELEASE + AGAIN + MEET, seed);
        assertThat(word(1, 30)).isEqualTo(1_000 + 15 * ROW_WORDS + 3);
        assertThatThrownBy(() -> run(BARRIERS + SHARED_ROWS + AGAIN + MEET, seed))
                .hasMessageMatching(
                        "(?s).*(no barrier is between|a copy on its way is about to write|which another copy).*");
    }

    @Test
    void aBlockThatOthersStillComeToMustNotEnd() {
        String late = """
                setp.eq.s32 %p4, %r2, 0;
                @%p4 bra $END;
                mov.u32 %r17, 0;
                $LOOP:
                add.s32 %r17, %r17, 1;
                setp.lt.s32 %p5, %r17, 3000;
                @%p5 bra $LOOP;
                add.s32 %r15, %r4, 8;
                mapa.shared::cluster.u32 %r16, %r15, 0;
                @!%p1 mbarrier.arrive.shared::cluster.b64 _, [%r16];
                $END:
                bar.warp.sync -1;
                """;
        run(BARRIERS + late + MEET, 1);
        assertThatThrownBy(() -> run(BARRIERS + late, 1)).hasMessageContaining("block 0 of the cluster has ended");
    }

    @Test
    void aClusterWaitsForAllOfItsBlocks() {
        assertThatThrownBy(() -> run("""
                        setp.eq.s32 %p4, %r2, 0;
                        @%p4 bra $FOREVER;
                        """ + MEET + """
                        $FOREVER:
                        ld.acquire.gpu.global.u32 %r17, [%rd2];
                        @%p4 bra $FOREVER;
                        """, 1))
                .hasMessageContaining("nothing moves")
                .hasMessageContaining("barrier.cluster.wait.acquire.aligned");
    }

    /// Each thread's word of 8 rows of 128 bytes; row %r1 / 4, piece %r1 % 4, and the same 4 pieces on.
    private static final String FILL = """
            shr.u32 %r11, %r1, 2;
            shl.b32 %r13, %r11, 7;
            add.s32 %r13, %r13, %r3;
            and.b32 %r14, %r1, 3;
            xor.b32 %r14, %r14, %r11;
            shl.b32 %r14, %r14, 4;
            add.s32 %r14, %r14, %r13;
            st.shared.v4.u32 [%r14], {%r1, %r1, %r1, %r1};
            and.b32 %r15, %r1, 3;
            add.s32 %r15, %r15, 4;
            xor.b32 %r15, %r15, %r11;
            shl.b32 %r15, %r15, 4;
            add.s32 %r15, %r15, %r13;
            st.shared.v4.u32 [%r15], {%r1, %r1, %r1, %r1};
            fence.proxy.async.shared::cta;
            bar.warp.sync -1;
            """;

    /// By the first block alone, from row 10 on.
    private static final String STORE = """
            setp.ne.s32 %p4, %r5, 0;
            or.pred %p4, %p4, %p1;
            @%p4 bra $STORED;
            mov.u32 %r10, 10;
            cp.async.bulk.tensor.3d.global.shared::cta.tile.bulk_group [%rd2, {%r20, %r10, %r20}], [%r3];
            cp.async.bulk.commit_group;
            WAITS
            $STORED:
            bar.warp.sync -1;
            """;

    private static final String OVERWRITE = "st.shared.u32 [%r14], %r5;\n";

    @Test
    void aStoredBoxEndsWhereItsMatrixDoes() {
        run(FILL + STORE.replace("WAITS", "cp.async.bulk.wait_group.read 0;") + OVERWRITE, 1);
        for (int row = 0; row < ROWS; row++) {
            for (int word = 0; word < ROW_WORDS; word++) {
                int at = row * ROW_WORDS + word;
                boolean stored = row >= 10 && word < 28;
                assertThat(rows.getAtIndex(ValueLayout.JAVA_INT, at))
                        .isEqualTo(stored ? (row - 10) * 4 + word / 4 % 4 : 1_000 + at);
            }
        }
    }

    @Test
    void whatIsToBeStoredIsNotOverwritten() {
        assertThatThrownBy(() -> run(FILL + STORE.replace("WAITS", "") + OVERWRITE, 1))
                .hasMessageContaining("which a store of warp 0 has read; no barrier is between");
        assertThatThrownBy(() -> run(FILL + STORE.replace("WAITS", ""), 1))
                .hasMessageContaining("a warp ends with stores");
        assertThatThrownBy(() -> run(STORE.replace("WAITS", "cp.async.bulk.wait_group 0;"), 1))
                .hasMessageContaining("never written");
    }
}
