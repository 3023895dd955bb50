package io.penstock.shard.backend.cuda.ptx;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.math.BigDecimal;
import java.util.Random;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// What the interpreter computes and, above all, what it complains of: a fault that it let pass is one that a GPU
/// finds.
class TestInterpreter {
    private static final int THREADS = 64;

    private final DeviceSpace space = new DeviceSpace();
    private final MemorySegment out = space.allocate(4L * THREADS);

    @AfterEach
    void free() {
        space.close();
    }

    /// @param body begins with %rd1 as this thread's word of `out`, %rd2 as `out`, and %r1 as the thread's number
    private void run(String body, int seed) {
        String ptx = """
                .version 9.0
                .target sm_90a
                .address_size 64
                .visible .entry kernel(
                    .param .u64 kernel_param_0
                )
                {
                    .reg .pred %p<9>;
                    .reg .f32 %f<9>;
                    .reg .b32 %r<20>;
                    .reg .b64 %rd<9>;
                    .shared .align 8 .b8 room[2048];
                    ld.param.u64 %rd2, [kernel_param_0];
                    mov.u32 %r1, %tid.x;
                    mul.wide.s32 %rd3, %r1, 4;
                    add.s64 %rd1, %rd2, %rd3;
                    shl.b32 %r2, %r1, 2;
                    mov.u32 %r3, room;
                    add.s32 %r3, %r3, %r2;
                """ + body + "\nret;\n}\n";
        new Interpreter(space, ptx).launch("kernel", new int[] {1, 1, 1}, THREADS, 0, 1, seed, out.address());
    }

    private int word(int index) {
        return out.getAtIndex(ValueLayout.JAVA_INT, index);
    }

    @Test
    void aPredicateIsNegated() {
        run("""
                setp.eq.s32 %p1, %r1, 3;
                xor.pred %p2, %p1, -1;
                selp.u32 %r4, 1, 0, %p2;
                st.global.u32 [%rd1], %r4;
                """, 1);
        for (int i = 0; i < THREADS; i++) {
            assertThat(word(i)).isEqualTo(i == 3 ? 0 : 1);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3})
    void threadsThatPartComeTogetherForAShuffle(int seed) {
        run("""
                and.b32 %r4, %r1, 1;
                setp.eq.s32 %p1, %r4, 0;
                mov.u32 %r5, 100;
                @%p1 bra $EVEN;
                add.s32 %r5, %r5, %r1;
                bra.uni $ALL;
                $EVEN:
                sub.s32 %r5, %r5, %r1;
                $ALL:
                shfl.sync.bfly.b32 %r6|%p2, %r5, 1, 31, -1;
                st.global.u32 [%rd1], %r6;
                """, seed);
        for (int i = 0; i < THREADS; i++) {
            assertThat(word(i)).isEqualTo(i % 2 == 0 ? 100 + i + 1 : 100 - (i - 1));
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3})
    void aThreadMayWaitForAnotherOfItsWarp(int seed) {
        out.fill((byte) 0);
        run("""
                setp.ne.s32 %p1, %r1, 0;
                @%p1 bra $SETS;
                $WAITS:
                ld.acquire.gpu.global.u32 %r4, [%rd2+4];
                setp.eq.s32 %p2, %r4, 0;
                @%p2 bra $WAITS;
                st.global.u32 [%rd1], 7;
                bra.uni $DONE;
                $SETS:
                st.global.u32 [%rd1], %r1;
                $DONE:
                """, seed);
        assertThat(word(0)).isEqualTo(7);
    }

    @Test
    void whatIsNeverSetIsWaitedForUntilNothingMoves() {
        out.fill((byte) 0);
        assertThatThrownBy(() -> run("""
                        $WAITS:
                        ld.acquire.gpu.global.u32 %r4, [%rd2];
                        setp.eq.s32 %p2, %r4, 0;
                        @%p2 bra $WAITS;
                        """, 1))
                .hasMessageContaining("nothing moves")
                .hasMessageContaining("at line 22 (setp.eq.s32 %p2, %r4, 0)");
    }

    @Test
    void aBarrierThatSomeWarpsMissHoldsTheOthers() {
        assertThatThrownBy(() -> run("""
                        setp.lt.s32 %p1, %r1, 32;
                        @%p1 bra $DONE;
                        bar.sync 1, 64;
                        $DONE:
                        """, 1))
                .hasMessageContaining("nothing moves")
                .hasMessageContaining("bar.sync 1, 64");
    }

    @Test
    void aShuffleWithThreadsThatNeverComeFails() {
        assertThatThrownBy(() -> run("""
                        setp.lt.s32 %p1, %r1, 3;
                        @%p1 bra $OTHER;
                        shfl.sync.idx.b32 %r6|%p2, %r1, 0, 31, -1;
                        bra.uni $DONE;
                        $OTHER:
                        bar.warp.sync -1;
                        $DONE:
                        """, 1)).hasMessageContaining("wait for ever");
    }

    @Test
    void anAccessOutsideOfMemoryNamesItsLine() {
        assertThatThrownBy(() -> run("st.global.u32 [%rd1+4], %r1;", 1))
                .hasMessageContaining("line 20 (st.global.u32 [%rd1+4], %r1)")
                .hasMessageContaining("in no allocation");
        assertThatThrownBy(() -> run("ld.global.u32 %r4, [%rd1+2];", 1)).hasMessageContaining("no multiple of 4");
    }

    @Test
    void sharedMemoryThatNobodyWroteIsNotRead() {
        assertThatThrownBy(() -> run("ld.shared.u32 %r4, [%r3+512];", 1)).hasMessageContaining("never written");
        assertThatThrownBy(() -> run("ld.shared.u32 %r4, [%r3+4096];", 1)).hasMessageContaining("of 2048 from");
    }

    private static final String COPY = """
            and.b32 %r7, %r1, 3;
            setp.ne.s32 %p1, %r7, 0;
            @%p1 bra $BEHIND;
            cp.async.cg.shared.global [%r3], [%rd1], 16, 16;
            $BEHIND:
            cp.async.commit_group;
            """;

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4, 5, 6, 7, 8})
    void aCopyIsThereOnceItIsWaitedFor(int seed) {
        for (int i = 0; i < THREADS; i++) {
            out.setAtIndex(ValueLayout.JAVA_INT, i, 1_000 + i);
        }
        String uses = """
                bar.sync 0;
                ld.shared.u32 %r4, [%r3];
                st.global.u32 [%rd1], %r4;
                """;
        run(COPY + "cp.async.wait_group 0;\n" + uses, seed);
        assertThat(word(37)).isEqualTo(1_037);
        assertThatThrownBy(() -> run(COPY + uses, seed)).hasMessageContaining("a copy on its way");
    }

    /// 256 bytes, brought by one thread and counted by a barrier.
    private static final String BULK = """
            mov.u32 %r8, room;
            add.s32 %r9, %r8, 1024;
            setp.ne.s32 %p1, %r1, 0;
            @%p1 bra $MADE;
            mbarrier.init.shared::cta.b64 [%r9], 1;
            $MADE:
            bar.sync 0;
            @%p1 bra $BROUGHT;
            mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r9], BYTES;
            cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r8], [%rd2], 256, [%r9];
            $BROUGHT:
            bar.sync 0;
            """;

    private static final String AWAITS = """
            $WAITS:
            mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r9], 0;
            @!%p2 bra $WAITS;
            """;

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4})
    void aBulkCopyIsThereOnceItsBytesAreCounted(int seed) {
        for (int i = 0; i < THREADS; i++) {
            out.setAtIndex(ValueLayout.JAVA_INT, i, 1_000 + i);
        }
        String uses = "ld.shared.u32 %r4, [%r3];\nst.global.u32 [%rd1], %r4;\n";
        run(BULK.replace("BYTES", "256") + AWAITS + uses, seed);
        assertThat(word(63)).isEqualTo(1_063);
        assertThatThrownBy(() -> run(BULK.replace("BYTES", "272") + AWAITS + uses, seed))
                .hasMessageContaining("nothing moves");
    }

    @Test
    void bitsAreInserted() {
        run("""
                bfi.b32 %r4, %r1, -1, 8, 4;
                st.global.u32 [%rd1], %r4;
                """, 1);
        assertThat(word(0x25)).isEqualTo(0xfffff5ff);
        run("""
                mul.wide.s32 %rd4, %r1, 3;
                bfi.b64 %rd5, %rd4, 5, 31, 33;
                shr.u64 %rd6, %rd5, 30;
                add.s64 %rd6, %rd6, %rd5;
                cvt.u32.u64 %r4, %rd6;
                st.global.u32 [%rd1], %r4;
                """, 1);
        assertThat(word(0x24)).isEqualTo(2 * 3 * 0x24 + 5);
    }

    @Test
    void whatIsNotKnownIsNamed() {
        assertThatThrownBy(() -> run("sad.u32 %r4, %r1, %r2, %r3;", 1))
                .hasMessageContaining("line 20: not interpreted: sad.u32 %r4, %r1, %r2, %r3");
    }

    /// Row r of A times column c of B by the tensor cores' own layout.
    @Test
    void aSmallProductIsThatOfItsMatrices() {
        // A[r][k] = r where k = 3, else 0; B[k][c] = c + 1: in halves of registers, k = 3 is the high half of thread
        // 4 r + 1 and, of B, of thread 4 c + 1.
        run("""
                and.b32 %r4, %r1, 31;
                shr.u32 %r5, %r4, 2;
                and.b32 %r6, %r4, 3;
                setp.eq.s32 %p1, %r6, 1;
                cvt.rn.f32.s32 %f1, %r5;
                mov.b32 %r7, %f1;
                and.b32 %r7, %r7, -65536;
                selp.b32 %r7, %r7, 0, %p1;
                add.s32 %r8, %r5, 8;
                cvt.rn.f32.s32 %f1, %r8;
                mov.b32 %r8, %f1;
                and.b32 %r8, %r8, -65536;
                selp.b32 %r8, %r8, 0, %p1;
                add.s32 %r9, %r5, 1;
                cvt.rn.f32.s32 %f2, %r9;
                cvt.rn.bf16x2.f32 %r10, %f2, %f2;
                mov.u32 %r11, 0;
                mov.f32 %f3, 0f3F800000;
                mov.f32 %f4, 0f3F800000;
                mov.f32 %f5, 0f3F800000;
                mov.f32 %f6, 0f3F800000;
                mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f3,%f4,%f5,%f6},{%r7,%r8,%r11,%r11},{%r10,%r10},{%f3,%f4,%f5,%f6};
                cvt.rzi.s32.f32 %r12, %f6;
                st.global.u32 [%rd1], %r12;
                """, 1);
        for (int lane = 0; lane < 32; lane++) {
            int row = lane / 4 + 8;
            int column = lane % 4 * 2 + 1;
            assertThat(word(lane)).isEqualTo(1 + row * (column + 1));
        }
    }

    @Test
    void numbersAreRounded() {
        Random random = new Random(4);
        for (int i = 0; i < 20_000; i++) {
            float a = Float.intBitsToFloat(random.nextInt() & 0xbfffffff);
            float b = (float) random.nextGaussian();
            float c = (float) random.nextGaussian() * a;
            if (!Float.isFinite(a * b + c)) {
                continue;
            }
            BigDecimal exact = new BigDecimal(a).multiply(new BigDecimal(b)).add(new BigDecimal(c));
            float down = Numbers.fmaDown(a, b, c);
            assertThat(new BigDecimal(down)).isLessThanOrEqualTo(exact);
            assertThat(new BigDecimal(Math.nextUp(down))).isGreaterThan(exact);
        }
        for (int code = 0; code < 256; code++) {
            if ((code & 0x7f) != 0x7f) {
                assertThat(Numbers.toE4m3(Numbers.fromE4m3(code))).isEqualTo(code);
            }
        }
        // Of two as near the even one.
        assertThat(Numbers.fromE4m3(Numbers.toE4m3(17))).isEqualTo(16);
        assertThat(Numbers.fromE4m3(Numbers.toE4m3(19))).isEqualTo(20);
        assertThat(Numbers.fromE4m3(Numbers.toE4m3(-1e9f))).isEqualTo(-448);
        // Byte 2, byte 6, the sign of byte 7, byte 0.
        assertThat(Numbers.permute(0x33221100, 0xf7665544, 0x0f62)).isEqualTo(0x00ff6622);
    }

    /// Rows of B that lie as they are stored, permuted: an A of ones on its diagonal brings them out again.
    @Test
    void aWarpgroupMultipliesWithStoredRows() {
        StringBuilder body = new StringBuilder("""
                {
                .reg .f32 %d<32>;
                .reg .b64 %at;
                .reg .b16 %h;
                shl.b32 %r4, %r1, 1;
                """);
        for (int row = 0; row < 16; row++) {
            // Column %r1 of the row: a number that bf16 has.
            body.append("""
                    mul.lo.s32 %%r5, %%r1, 3;
                    add.s32 %%r5, %%r5, %d;
                    and.b32 %%r5, %%r5, 127;
                    cvt.rn.f32.s32 %%f1, %%r5;
                    cvt.rn.bf16.f32 %%h, %%f1;
                    xor.b32 %%r6, %%r4, %d;
                    add.s32 %%r6, %%r6, %d;
                    mov.u32 %%r7, room;
                    add.s32 %%r7, %%r7, %%r6;
                    st.shared.b16 [%%r7], %%h;
                    """.formatted(7 * row, row % 8 * 16, row * 128));
        }
        body.append("""
                bar.sync 0;
                and.b32 %r5, %r1, 31;
                shr.u32 %r6, %r5, 2;
                and.b32 %r7, %r5, 3;
                shl.b32 %r7, %r7, 1;
                setp.eq.s32 %p1, %r6, %r7;
                selp.b32 %r8, 16256, 0, %p1;
                add.s32 %r7, %r7, 1;
                setp.eq.s32 %p2, %r6, %r7;
                selp.b32 %r9, 1065353216, 0, %p2;
                or.b32 %r8, %r8, %r9;
                mov.u32 %r9, 0;
                mov.u32 %r7, room;
                shr.u32 %r7, %r7, 4;
                cvt.u64.u32 %at, %r7;
                or.b64 %at, %at, 4611686293305294848;
                setp.ne.b32 %p3, %r9, 0;
                wgmma.fence.sync.aligned;
                wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {SUMS}, {%r8,%r9,%r9,%r8}, %at, %p3, 1, 1, 1;
                wgmma.commit_group.sync.aligned;
                wgmma.wait_group.sync.aligned 0;
                cvt.rzi.s32.f32 %r10, %d13;
                cvt.rzi.s32.f32 %r11, %d14;
                mad.lo.s32 %r12, %r10, 1000, %r11;
                st.global.u32 [%rd1], %r12;
                }
                """.replace(
                        "SUMS", IntStream.range(0, 32).mapToObj(i -> "%d" + i).collect(Collectors.joining(","))));
        run(body.toString(), 1);
        for (int lane = 0; lane < THREADS; lane++) {
            int row = lane % 32 / 4;
            int column = 24 + lane % 4 * 2;
            int first = (7 * row + 3 * (column + 1)) % 128;
            int second = (7 * (row + 8) + 3 * column) % 128;
            assertThat(word(lane)).isEqualTo(1_000 * first + second);
        }
    }
}
