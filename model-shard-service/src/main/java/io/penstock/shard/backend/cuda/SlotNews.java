package io.penstock.shard.backend.cuda;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.shard.backend.SlotSampling;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.StepPlan;

/// What the device knows of each slot, and what a step must tell it besides: KV blocks it has not
/// heard of, sequences new to it. For one thread.
final class SlotNews {
    private final ShardShape shape;
    private final StepLimits limits;
    private final int kvBlocks;
    private final SlotSampling[] admitted;
    private final int[] blocksTold;

    SlotNews(ShardShape shape, StepLimits limits, int kvBlocks) {
        this.shape = shape;
        this.limits = limits;
        this.kvBlocks = kvBlocks;
        admitted = new SlotSampling[limits.maxSequences()];
        blocksTold = new int[limits.maxSequences()];
    }

    /// Writes all that is new into a step's description.
    ///
    /// @param flush tells the device what the description holds, as a step without tokens, and
    ///     begins it anew: for more news than fit one
    /// @throws PenstockException (bad input) if a block is none of this epoch's
    void tell(StepPlan plan, StepDescriptor descriptor, Runnable flush) {
        for (int row = 0; row < plan.rows; row++) {
            int slot = plan.slot[row];
            boolean isNew = isAnother(plan.sampling[slot], admitted[slot]);
            if (isNew) {
                blocksTold[slot] = 0;
            }
            int blocks = (plan.start[row] + plan.count[row] + limits.blockSize() - 1) / limits.blockSize();
            if (!descriptor.hasRoom(
                    blocks - blocksTold[slot], isNew && shape.slice().samples() ? plan.sampling[slot] : null)) {
                flush.run();
            }
            for (; blocksTold[slot] < blocks; blocksTold[slot]++) {
                int block = plan.blockTable[slot][blocksTold[slot]];
                if (block < 0 || block >= kvBlocks) {
                    throw new PenstockException(
                            ErrorCategory.BAD_INPUT, "slot %d: KV block %d, there are %d", slot, block, kvBlocks);
                }
                descriptor.appendBlock(slot, blocksTold[slot], block);
            }
            if (isNew) {
                admitted[slot] = plan.sampling[slot];
                if (shape.slice().samples()) {
                    descriptor.admit(slot, plan.sampling[slot]);
                }
            }
        }
        descriptor.writeAdmissions(shape.config().vocabularySize());
    }

    @SuppressWarnings("ReferenceEquality") // each admission brings its own object, equal or not
    private static boolean isAnother(SlotSampling one, SlotSampling other) {
        return one != other;
    }
}
