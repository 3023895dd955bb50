package io.penstock.shard.backend.cuda;

import io.penstock.shard.backend.StepLimits;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/// What lies where in a rank's mailbox (peers.cuh); the same on all ranks of a stage.
///
/// @param small first byte of the small messages: two sums' in turn, a slot for each rank
/// @param parts first byte of this rank's parts, two in turn, `[tokens, hidden]` f32
/// @param logits first byte of the whole vocabulary's logits, `[sequences, vocabulary]` f32
/// @param smallSlot bytes of a rank's small message
/// @param partSlot bytes of a part
/// @param bytes in all, whole pages of the device: an exported allocation must not share one with others
record MailboxLayout(long small, long parts, long logits, long smallSlot, long partSlot, long bytes) {
    static final int MAX_RANKS = 8;
    /// Blocks of `gatherLogits` and `sumScattered` at most: each has a place for its word.
    static final int GATHER_BLOCKS = 128;
    /// Values that are sent as a small message, at most.
    static final int SMALL_VALUES = 32_768;
    /// Values that more than two ranks each sum for themselves, at most; of more, each sums a slice.
    private static final int WHOLE_VALUES = 262_144;

    private static final long HEADER = 16 << 10;
    private static final long PAGE = 2 << 20;
    // A value travels with the number of its sum.
    private static final int SMALL_BYTES_A_VALUE = 8;

    static MailboxLayout of(ShardShape shape, StepLimits limits, int ranks) {
        long tokens = Math.max(limits.maxStepTokens(), limits.maxSequences());
        // The decode kernel sends small messages whatever their size.
        long values = Math.max(SMALL_VALUES, (long) DecodeKernel.MAX_VECTORS * shape.hidden());
        long slot = values * SMALL_BYTES_A_VALUE;
        long part = rounded(4 * tokens * shape.hidden());
        long parts = HEADER + 2L * ranks * slot;
        long logits = parts + 2 * part;
        long whole = 4L * limits.maxSequences() * shape.config().vocabularySize();
        return new MailboxLayout(HEADER, parts, logits, slot, part, (logits + whole + PAGE - 1) / PAGE * PAGE);
    }

    private static long rounded(long bytes) {
        return (bytes + 255) / 256 * 256;
    }

    /// Whether a sum of so many values is sent as small messages.
    static boolean isSmall(long values) {
        return values <= SMALL_VALUES;
    }

    /// Whether each rank sums all values of so many, as every one of two ranks does.
    static boolean isWhole(long values, int ranks) {
        return ranks == 2 || values <= WHOLE_VALUES;
    }

    /// Writes the fields of the kernels' `Peers` that this knows.
    void describe(MemorySegment peers) {
        long[] fields = {small, parts, logits, smallSlot, partSlot};
        for (int i = 0; i < fields.length; i++) {
            peers.set(ValueLayout.JAVA_LONG, 88 + 8L * i, fields[i]);
        }
    }
}
