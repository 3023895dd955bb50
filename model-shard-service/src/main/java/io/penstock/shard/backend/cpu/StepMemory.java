package io.penstock.shard.backend.cpu;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.config.Experts;
import io.penstock.model.config.LatentAttention;
import io.penstock.model.config.ModelConfig;
import io.penstock.shard.backend.StepLimits;
import java.lang.foreign.Arena;

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
    /// Compressed keys and values, and compressed queries; empty for a model without.
    final float[] latent;

    final float[] latentQuery;
    /// Of layers of experts; empty for a model without.
    final float[] routerLogits;

    /// Each token's experts, and what each counts for.
    final int[] chosenExpert;

    final float[] expertWeight;
    /// Which of those entries are of the expert in progress, and the hidden states of their tokens.
    final int[] expertItem;

    final float[] expertInput;
    final float[] expertOutput;
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
    final float[][] panelScratch;

    /// Of the vectors that a phase multiplies.
    final float[][] blockSums;

    final float[][] attentionScratch;
    final float[][] normScratch;

    StepMemory(ModelConfig config, Dimensions sizes, StepLimits limits, int workers, boolean samples, Arena arena) {
        int tokens = limits.maxStepTokens();
        hidden = floats(tokens, sizes.hiddenStride());
        normed = floats(tokens, sizes.hiddenStride());
        delta = floats(tokens, sizes.hiddenStride());
        query = floats(tokens, sizes.queryStride());
        key = floats(tokens, sizes.kvStride());
        value = floats(tokens, sizes.kvStride());
        attention = floats(tokens, sizes.attentionStride());
        gate = floats(tokens, sizes.mlpStride());
        up = floats(tokens, sizes.mlpStride());
        rotation = floats(tokens, sizes.rotarySize());
        int latentTokens = config.latent().isPresent() ? tokens : 0;
        latent = floats(
                latentTokens,
                padded(config.latent().map(LatentAttention::cachedSize).orElse(0)));
        latentQuery = floats(
                latentTokens,
                padded(config.latent().map(LatentAttention::queryRank).orElse(0)));
        int routed = config.experts().isPresent() ? tokens : 0;
        int used = config.experts().map(Experts::used).orElse(0);
        routerLogits =
                floats(routed, padded(config.experts().map(Experts::count).orElse(0)));
        chosenExpert = new int[routed * used];
        expertWeight = new float[routed * used];
        expertItem = new int[routed];
        expertInput = floats(routed, sizes.hiddenStride());
        expertOutput = floats(routed, sizes.hiddenStride());
        tokenSlot = new int[tokens];
        tokenPosition = new int[tokens];
        tokenId = new int[tokens];
        itemToken = new int[tokens];
        itemTokens = new int[tokens];
        int rows = Math.min(LOGIT_ROWS, limits.maxSequences());
        logits = samples ? floats(rows, sizes.vocabularyStride()) : new float[0];
        sampled = samples ? floats(rows, sizes.hiddenStride()) : new float[0];
        samplingRow = new int[limits.maxSequences()];
        panelScratch = new float[workers][];
        blockSums = new float[workers][];
        int widest = Math.max(
                Math.max(sizes.hiddenStride(), sizes.attentionStride()),
                Math.max(
                        sizes.mlpStride(),
                        padded(config.latent().map(LatentAttention::queryRank).orElse(0))));
        attentionScratch = new float[workers][];
        normScratch = new float[workers][];
        for (int worker = 0; worker < workers; worker++) {
            blockSums[worker] = floats(tokens, widest / PackedMatrix.BLOCK_COLUMNS);
            panelScratch[worker] = new float[Kernels.PANEL_SCRATCH];
            attentionScratch[worker] = new float[Kernels.attentionScratchFloats(limits.blockSize(), sizes.headSize())];
            normScratch[worker] = new float[Kernels.SUM_LANES];
        }
    }

    private static int padded(int rows) {
        return Math.ceilDiv(rows, PackedMatrix.PANEL_ROWS) * PackedMatrix.PANEL_ROWS;
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
