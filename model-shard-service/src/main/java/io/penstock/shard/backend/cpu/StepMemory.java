package io.penstock.shard.backend.cpu;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.shard.backend.StepLimits;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/// All that the steps of an epoch write to beside the KV cache, taken once. `[tokens, stride]` each.
final class StepMemory {
    /// Rows of logits that are computed at a time.
    static final int LOGIT_ROWS = 16;

    final float[] hidden;
    final float[] normed;
    /// What attention or the MLP adds to `hidden`.
    final float[] delta;
    final float[] query;
    final float[] key;
    final float[] value;
    final float[] attention;
    final float[] gate;
    final float[] up;
    /// Cosines, then sines, of each token's position.
    final float[] rotation;
    final int[] tokenSlot;
    final int[] tokenPosition;
    final int[] tokenId;
    /// First token of each piece of work for attention, and how many follow it.
    final int[] itemToken;

    final int[] itemTokens;
    final float[] logits;
    /// Hidden vectors of the rows that sample, one behind another, and which rows those are.
    final float[] sampled;

    final int[] samplingRow;
    /// One for each worker.
    final MemorySegment[] panelScratch;

    final float[][] attentionScratch;
    final float[][] normScratch;

    StepMemory(Dimensions sizes, StepLimits limits, int workers, boolean samples, Arena arena) {
        int tokens = limits.maxStepTokens();
        hidden = floats(tokens, sizes.hiddenStride());
        normed = floats(tokens, sizes.hiddenStride());
        delta = floats(tokens, sizes.hiddenStride());
        query = floats(tokens, sizes.queryStride());
        key = floats(tokens, sizes.kvStride());
        value = floats(tokens, sizes.kvStride());
        attention = floats(tokens, sizes.queryStride());
        gate = floats(tokens, sizes.intermediateStride());
        up = floats(tokens, sizes.intermediateStride());
        rotation = floats(tokens, sizes.headSize());
        tokenSlot = new int[tokens];
        tokenPosition = new int[tokens];
        tokenId = new int[tokens];
        itemToken = new int[tokens];
        itemTokens = new int[tokens];
        int rows = Math.min(LOGIT_ROWS, limits.maxSequences());
        logits = samples ? floats(rows, sizes.vocabularyStride()) : new float[0];
        sampled = samples ? floats(rows, sizes.hiddenStride()) : new float[0];
        samplingRow = new int[limits.maxSequences()];
        panelScratch = new MemorySegment[workers];
        attentionScratch = new float[workers][];
        normScratch = new float[workers][];
        for (int worker = 0; worker < workers; worker++) {
            panelScratch[worker] = arena.allocate(Kernels.panelScratchBytes(), 64);
            attentionScratch[worker] = new float[Kernels.attentionScratchFloats(limits.blockSize(), sizes.headSize())];
            normScratch[worker] = new float[Kernels.SUM_LANES];
        }
    }

    private static float[] floats(int tokens, int stride) {
        long count = (long) tokens * stride;
        if (count > Integer.MAX_VALUE - 64) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT,
                    "a step of %d tokens needs %d floats in one array; allow fewer tokens a step",
                    tokens,
                    count);
        }
        return new float[(int) count];
    }
}
