package io.penstock.shard.step;

import io.penstock.api.shard.Admission;
import io.penstock.shard.backend.SlotSampling;

/// A sequence that holds a slot.
///
/// INVARIANT: `computed <= known <= maxLength`, and `blockCount` blocks hold positions `[0, computed)`.
final class Resident {
    final SlotSampling sampling;
    final int maxLength;
    /// Not resized: a plan in flight reads it.
    final int[] blocks;

    int blockCount;
    /// Tokens whose keys and values are in the blocks.
    int computed;
    /// Tokens admitted and sampled, those of steps in flight included.
    int known;

    Resident(Admission admission, SlotSampling sampling, int blockSize) {
        this.sampling = sampling;
        maxLength = admission.getMaxLength();
        blocks = new int[Math.ceilDiv(maxLength, blockSize)];
        known = sampling.tokens().length;
    }

    /// @return the token at a position below `known`, or -1 for one that was sampled here
    int token(int position) {
        return position < sampling.tokens().length ? sampling.tokens()[position] : -1;
    }
}
