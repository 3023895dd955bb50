package io.penstock.shard.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.shard.backend.StepLimits;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import org.junit.jupiter.api.Test;

/// Ranks write into each other's memory by this: parts that overlap would be sums that are wrong now and then.
final class TestMailboxLayout {
    private static final long READY_END = 1024 + MailboxLayout.MAX_RANKS * 128;
    private static final long GATHERED = 4096;
    private static final long SCATTERED = 8192;

    private final ShardShape shape = Shapes.of(512, 8, 8, 64, 1024);
    private final StepLimits limits = new StepLimits(16, 40, 300, 2048);

    @Test
    void nothingOverlapsAndAllIsAligned() {
        for (int ranks = 2; ranks <= MailboxLayout.MAX_RANKS; ranks++) {
            MailboxLayout layout = MailboxLayout.of(shape, limits, ranks);
            assertThat(READY_END).isLessThanOrEqualTo(GATHERED);
            assertThat(GATHERED + 4L * MailboxLayout.MAX_RANKS * MailboxLayout.GATHER_BLOCKS)
                    .isLessThanOrEqualTo(SCATTERED);
            assertThat(SCATTERED + 4L * MailboxLayout.MAX_RANKS * MailboxLayout.GATHER_BLOCKS)
                    .isLessThanOrEqualTo(layout.small());
            assertThat(layout.smallSlot()).isGreaterThanOrEqualTo(8L * MailboxLayout.SMALL_VALUES);
            assertThat(layout.small() + 2L * ranks * layout.smallSlot()).isLessThanOrEqualTo(layout.parts());
            assertThat(layout.partSlot()).isGreaterThanOrEqualTo(4L * 300 * 512);
            assertThat(layout.parts() + 2 * layout.partSlot()).isLessThanOrEqualTo(layout.logits());
            assertThat(layout.logits() + 4L * 40 * shape.config().vocabularySize())
                    .isLessThanOrEqualTo(layout.bytes());
            assertThat(List.of(layout.small(), layout.parts(), layout.logits(), layout.smallSlot()))
                    .allMatch(at -> at % 256 == 0);
            // An exported allocation must not share a page of the device with another one.
            assertThat(layout.bytes() % (2 << 20)).isZero();
        }
    }

    @Test
    void stepsOfMoreSequencesThanTokensFit() {
        MailboxLayout layout = MailboxLayout.of(shape, new StepLimits(16, 500, 100, 2048), 2);
        assertThat(layout.partSlot()).isGreaterThanOrEqualTo(4L * 500 * 512);
    }

    @Test
    void theKernelsReadTheFieldsInTheirOrder() {
        MailboxLayout layout = MailboxLayout.of(shape, limits, 2);
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment peers = arena.allocate(152, 8);
            layout.describe(peers);
            assertThat(new long[] {
                        peers.get(ValueLayout.JAVA_LONG, 88),
                        peers.get(ValueLayout.JAVA_LONG, 96),
                        peers.get(ValueLayout.JAVA_LONG, 104),
                        peers.get(ValueLayout.JAVA_LONG, 112),
                        peers.get(ValueLayout.JAVA_LONG, 120)
                    })
                    .containsExactly(
                            layout.small(), layout.parts(), layout.logits(), layout.smallSlot(), layout.partSlot());
        }
    }

    @Test
    void whatIsTooLongForAMessageIsRead() {
        assertThat(MailboxLayout.isSmall(MailboxLayout.SMALL_VALUES)).isTrue();
        assertThat(MailboxLayout.isSmall(MailboxLayout.SMALL_VALUES + 1)).isFalse();
    }
}
