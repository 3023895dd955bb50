package io.penstock.shard.backend.cuda;

import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.cuda.CudaDevice.HostMemory;
import io.penstock.shard.collective.Collective;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;

/// What a rank that is not alone exchanges by way of host memory, with the stream awaited before: activations from
/// stage to stage, and sums and logits within a stage whose ranks do not meet on their devices.
final class RankExchange implements RankSum, AutoCloseable {
    private final CudaDevice device;
    private final Collective collective;
    private final ShardShape shape;
    private final ForwardPass pass;
    private final StepMemory memory;
    private final HostMemory staging;
    private final float[] values;
    private final float[] logits;
    private final int[] counts;
    private final int[] lastTokens;
    private final int[] slots;
    private final int[] tokens;
    private int activations;
    private long received;
    private long waited;

    /// @param joins whether the ranks of the stage have no other way to their sums and logits
    RankExchange(
            CudaDevice device,
            Collective collective,
            ShardShape shape,
            StepLimits limits,
            ForwardPass pass,
            StepMemory memory,
            boolean joins) {
        this.pass = pass;
        this.memory = memory;
        this.device = device;
        this.collective = collective;
        this.shape = shape;
        int most = Math.max(limits.maxStepTokens(), limits.maxSequences()) * shape.hidden();
        int vocabulary = shape.config().vocabularySize();
        if (shape.slice().samples()) {
            most = Math.max(most, limits.maxSequences() * vocabulary);
        }
        staging = device.allocateHost(Math.multiplyExact(4, most));
        values = new float[most];
        logits = new float[samples() ? limits.maxSequences() * vocabulary : 0];
        counts = joins ? vocabularyCounts() : new int[0];
        lastTokens = new int[limits.maxSequences()];
        slots = new int[limits.maxSequences()];
        tokens = new int[limits.maxSequences()];
        waited = collective.waitedNanos();
    }

    /// Rows of the output matrix on each rank, which rank 0 learns here; the others need their own only.
    private int[] vocabularyCounts() {
        int[] all = new int[collective.tpSize()];
        if (shape.slice().samples() && all.length > 1) {
            int[] each = new int[all.length];
            Arrays.fill(each, 1);
            float[] parts = new float[all.length];
            // A float holds every count up to 2^24, the largest vocabulary there is.
            collective.gather(new float[] {shape.vocabulary()}, 0, parts, 0, each);
            for (int rank = 0; rank < all.length; rank++) {
                all[rank] = (int) parts[rank];
            }
        }
        all[collective.tpRank()] = shape.vocabulary();
        return all;
    }

    /// Whether this rank samples: rank 0 of the last stage.
    boolean samples() {
        return collective.tpRank() == 0 && collective.ppStage() == collective.ppSize() - 1;
    }

    /// By slot, as the sampling rank told.
    int[] lastTokens() {
        return lastTokens;
    }

    /// Hears what all steps up to this one sampled.
    void receiveThrough(long number) {
        while (received < number) {
            received++;
            int count = collective.receiveSampled(received, slots, tokens);
            for (int i = 0; i < count; i++) {
                lastTokens[slots[i]] = tokens[i];
            }
        }
    }

    /// Before a step of so many tokens.
    void begin(int tokens) {
        activations = tokens * shape.hidden();
    }

    /// Residual sums from the stage before.
    void receive() {
        collective.receivePrevious(values, 0, activations);
        upload(memory.residual(), values, activations);
    }

    /// Residual sums to the next stage.
    void send() {
        download(memory.residual(), activations);
        collective.sendNext(values, 0, activations);
    }

    @Override
    public long part(int index) {
        return memory.partial();
    }

    @Override
    public void add(StepBucket bucket, int index) {
        download(memory.partial(), activations);
        collective.allReduce(values, 0, activations);
        upload(memory.partial(), values, activations);
        pass.addPartial(bucket);
    }

    /// Each row's parts of the vocabulary, joined on the rank that samples.
    void gather(int rows) {
        int part = shape.vocabulary();
        int whole = shape.config().vocabularySize();
        download(memory.logits(), rows * part);
        for (int row = 0; row < rows; row++) {
            collective.gather(values, row * part, logits, row * whole, counts);
        }
        if (samples()) {
            upload(memory.logits(), logits, rows * whole);
        }
    }

    private void download(long from, int count) {
        device.download(staging, from, 4L * count);
        device.synchronize();
        MemorySegment.copy(staging.segment(), ValueLayout.JAVA_FLOAT, 0, values, 0, count);
    }

    private void upload(long to, float[] from, int count) {
        MemorySegment.copy(from, 0, staging.segment(), ValueLayout.JAVA_FLOAT, 0, count);
        // Written again behind the next download's wait, or in the next step, at the earliest.
        device.upload(to, staging, 4L * count);
    }

    /// Nanoseconds spent waiting for peers since the last call.
    long takeWaited() {
        long now = collective.waitedNanos();
        long since = now - waited;
        waited = now;
        return since;
    }

    @Override
    public void close() {
        device.free(staging);
    }
}
