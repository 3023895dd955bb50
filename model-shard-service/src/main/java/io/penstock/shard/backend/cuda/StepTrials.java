package io.penstock.shard.backend.cuda;

import io.penstock.shard.backend.SlotSampling;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.StepPlan;
import io.penstock.shard.backend.cuda.CudaDevice.HostMemory;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import jcuda.driver.CUgraphExec;

/// Steps before an epoch's first, to see which way is quickest: of as many sequences as a bucket takes, each of one
/// token behind a context that nobody computed.
final class StepTrials {
    /// Steps of at most so many sequences are one kernel, whatever is quicker: for checks and measurements.
    static final String ROWS_PROPERTY = "penstock.cuda.persistent-rows";
    /// The same for ranks, which must not choose each for itself. On Hopper 8 are quicker by a kernel an operation
    /// (docs/cuda-ladder.md).
    private static final int RANKS_ROWS = 4;

    private static final int RUNS = 4;
    /// Tokens of a context, where sequences may be as long: the ways differ in attention too.
    private static final int CONTEXT = 512;

    private final CudaDevice device;
    private final ShardShape shape;
    private final StepLimits limits;
    private final StepMemory memory;
    private final ForwardPass pass;
    private final HostMemory words;
    private final StepDescriptor descriptor;
    private final int kvBlocks;

    /// @param words what `descriptor` writes
    StepTrials(
            CudaDevice device,
            ShardShape shape,
            StepLimits limits,
            StepMemory memory,
            ForwardPass pass,
            HostMemory words,
            StepDescriptor descriptor,
            int kvBlocks) {
        this.device = device;
        this.shape = shape;
        this.limits = limits;
        this.memory = memory;
        this.pass = pass;
        this.words = words;
        this.descriptor = descriptor;
        this.kvBlocks = kvBlocks;
    }

    /// Puts a step's description on its way.
    void describe(StepBucket bucket) {
        StepPlan plan = new StepPlan(
                limits, new int[limits.maxSequences()][memory.maxBlocks()], new SlotSampling[limits.maxSequences()]);
        plan.rows = bucket.rows();
        plan.totalTokens = bucket.rows();
        descriptor.begin(bucket, 0);
        int context = Math.min(CONTEXT, limits.maxLength());
        while (context > 1 && !descriptor.hasRoom(bucket.rows() * blocks(context), null)) {
            context /= 2;
        }
        for (int row = 0; row < bucket.rows(); row++) {
            plan.slot[row] = row;
            plan.start[row] = context - 1;
            plan.count[row] = 1;
            plan.tokenOffset[row] = row;
            plan.samples[row] = true;
            for (int i = 0; i < blocks(context); i++) {
                // Where blocks are few, several sequences share them: for nobody.
                descriptor.appendBlock(row, i, (row * blocks(context) + i) % kvBlocks);
            }
        }
        int vocabulary = shape.config().vocabularySize();
        descriptor.writeAdmissions(vocabulary);
        descriptor.describe(plan, shape.group(), shape.kvHeads(), true, vocabulary, null);
        pass.begin(bucket, words.address(), descriptor.end());
    }

    private int blocks(int tokens) {
        return (tokens + limits.blockSize() - 1) / limits.blockSize();
    }

    /// Of buckets of decode steps, those whose steps are quicker as one kernel than as a kernel an operation.
    ///
    /// @param alone whether this is the only rank
    Set<StepBucket> whole(List<StepBucket> buckets, DecodeKernel decode, boolean alone) {
        Set<StepBucket> whole = new HashSet<>();
        int most = Integer.getInteger(
                ROWS_PROPERTY, alone || !StreamedProducts.isOn(device) ? Integer.MAX_VALUE : RANKS_ROWS);
        boolean measured = alone && device.isReal() && most == Integer.MAX_VALUE;
        for (StepBucket bucket : buckets) {
            if (decode.serves(bucket) && bucket.rows() <= most && (!measured || isQuicker(bucket, decode))) {
                whole.add(bucket);
            }
        }
        return Set.copyOf(whole);
    }

    private boolean isQuicker(StepBucket bucket, DecodeKernel decode) {
        describe(bucket);
        return millis(() -> decode.launch(bucket))
                <= millis(() -> {
                    pass.embed(bucket);
                    pass.layers(bucket, null);
                    pass.logits(bucket, bucket.rows());
                });
    }

    // Of a graph, as steps are; the shortest of a few.
    private float millis(Runnable step) {
        CUgraphExec graph = device.capture(step);
        try {
            device.launch(graph);
            return device.leastMillis(RUNS, () -> device.launch(graph));
        } finally {
            device.destroy(graph);
        }
    }
}
