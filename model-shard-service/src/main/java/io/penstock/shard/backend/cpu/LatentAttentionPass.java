package io.penstock.shard.backend.cpu;

import io.penstock.model.config.LatentAttention;
import io.penstock.model.config.ModelConfig;
import io.penstock.shard.backend.StepPlan;
import java.util.Arrays;

/// Attention over compressed keys and values (DeepSeek-V2, arXiv 2405.04434), one element at a time. Read it from
/// [#begin] downwards.
///
/// Two forms give the same up to rounding. [Form#PLAIN] is the definition: of each position's compressed vector the
/// head's key and value are made, and attended to as usual. [Form#ABSORBED] moves the two projections to the other
/// side of the sums: the query is brought into the compressed space once, scores and weighted sums are taken there,
/// and the result is brought out once; nothing is made of the positions before.
final class LatentAttentionPass {
    enum Form {
        PLAIN,
        ABSORBED
    }

    private final ModelConfig config;
    private final LatentAttention latent;
    private final Dimensions sizes;
    private final Kernels kernels;
    private final Workers workers;
    private final StepMemory memory;
    private final MatrixPhase matrices;
    private final LatentCache cache;
    private final Form form;
    private final double scale;
    private final Scratch[] scratch;

    private final Workers.Phase compress = this::compress;
    private final Workers.Phase attend = this::attend;

    // Of the layer in progress.
    private StepPlan plan;
    private int layer;
    private LatentWeights weights;

    /// A worker's own.
    private static final class Scratch {
        final float[] scores;
        final float[] row;
        final float[] query;
        final float[] sum;

        Scratch(LatentAttention latent, int maxLength) {
            scores = new float[maxLength];
            row = new float[latent.cachedSize()];
            query = new float[latent.keyRank()];
            sum = new float[latent.keyRank()];
        }
    }

    LatentAttentionPass(
            ModelConfig config,
            Dimensions sizes,
            Kernels kernels,
            Workers workers,
            StepMemory memory,
            MatrixPhase matrices,
            LatentCache cache,
            int maxLength,
            Form form) {
        this.config = config;
        this.latent = config.latent().orElseThrow();
        this.sizes = sizes;
        this.kernels = kernels;
        this.workers = workers;
        this.memory = memory;
        this.matrices = matrices;
        this.cache = cache;
        this.form = form;
        scale = latent.scale() / Math.sqrt(latent.headSize());
        scratch = new Scratch[workers.count()];
        Arrays.setAll(scratch, worker -> new Scratch(latent, maxLength));
    }

    /// Of the normed hidden states in memory makes the heads' outputs, `memory.attention`.
    void run(StepPlan step, int layerNumber, LayerWeights layerWeights) {
        plan = step;
        layer = layerNumber;
        weights = layerWeights.latent();
        int tokens = step.totalTokens;
        matrices.begin(memory.normed, sizes.hiddenStride(), tokens).add(weights.kvDown(), memory.latent);
        if (weights.queryDown() != null) {
            matrices.add(weights.queryDown(), memory.latentQuery);
        }
        workers.run(matrices);
        workers.run(compress);
        if (weights.queryDown() != null) {
            matrices.begin(memory.latentQuery, weights.queryDown().paddedRows(), tokens);
        } else {
            matrices.begin(memory.normed, sizes.hiddenStride(), tokens);
        }
        workers.run(matrices.add(layerWeights.query(), memory.query));
        workers.run(attend);
    }

    /// Norms what was compressed, rotates the shared key, and keeps both.
    private void compress(int worker, int count) {
        int stride = weights.kvDown().paddedRows();
        int end = ForwardPass.share(plan.totalTokens, worker + 1, count);
        for (int token = ForwardPass.share(plan.totalTokens, worker, count); token < end; token++) {
            int at = token * stride;
            norm(memory.latent, at, weights.kvDownNorm(), worker);
            rotate(memory.latent, at + latent.keyRank(), token);
            int[] blocks = plan.blockTable[memory.tokenSlot[token]];
            cache.write(layer, blocks, memory.tokenPosition[token], memory.latent, at);
            if (weights.queryDown() != null) {
                norm(memory.latentQuery, token * weights.queryDown().paddedRows(), weights.queryDownNorm(), worker);
            }
        }
    }

    private void norm(float[] values, int at, float[] weight, int worker) {
        kernels.rmsNorm(
                values,
                at,
                weight,
                weight.length,
                LatentAttention.NORM_EPSILON,
                values,
                at,
                memory.normScratch[worker]);
    }

    private void rotate(float[] values, int at, int token) {
        int size = latent.rotarySize();
        Rotation.rotate(config.ropeLayout(), values, at, size, memory.rotation, token * size, 1);
    }

    private void attend(int worker, int count) {
        int items = plan.totalTokens * sizes.heads();
        for (int item = worker; item < items; item += count) {
            int token = item / sizes.heads();
            int head = item % sizes.heads();
            int query = token * sizes.queryStride() + head * latent.headSize();
            int out = token * sizes.attentionStride() + head * latent.valueSize();
            rotate(memory.query, query + latent.plainSize(), token);
            switch (form) {
                case PLAIN -> plain(token, head, query, out, scratch[worker]);
                case ABSORBED -> absorbed(token, head, query, out, scratch[worker]);
            }
        }
    }

    private void plain(int token, int head, int query, int out, Scratch mine) {
        int length = memory.tokenPosition[token] + 1;
        int[] blocks = plan.blockTable[memory.tokenSlot[token]];
        for (int position = 0; position < length; position++) {
            cache.read(layer, blocks, position, mine.row);
            float score = 0;
            for (int d = 0; d < latent.plainSize(); d++) {
                float key = dot(weights.keyUp(), (head * latent.plainSize() + d) * latent.keyRank(), mine.row);
                score = Math.fma(memory.query[query + d], key, score);
            }
            mine.scores[position] = rotated(query, mine.row, score);
        }
        softmax(mine.scores, length);
        Arrays.fill(memory.attention, out, out + latent.valueSize(), 0);
        for (int position = 0; position < length; position++) {
            cache.read(layer, blocks, position, mine.row);
            for (int v = 0; v < latent.valueSize(); v++) {
                float value = dot(weights.valueUp(), (head * latent.valueSize() + v) * latent.keyRank(), mine.row);
                memory.attention[out + v] = Math.fma(mine.scores[position], value, memory.attention[out + v]);
            }
        }
    }

    private void absorbed(int token, int head, int query, int out, Scratch mine) {
        int length = memory.tokenPosition[token] + 1;
        int[] blocks = plan.blockTable[memory.tokenSlot[token]];
        Arrays.fill(mine.query, 0);
        for (int d = 0; d < latent.plainSize(); d++) {
            addTimes(
                    memory.query[query + d],
                    weights.keyUp(),
                    (head * latent.plainSize() + d) * latent.keyRank(),
                    mine.query);
        }
        for (int position = 0; position < length; position++) {
            cache.read(layer, blocks, position, mine.row);
            mine.scores[position] = rotated(query, mine.row, dot(mine.query, 0, mine.row));
        }
        softmax(mine.scores, length);
        Arrays.fill(mine.sum, 0);
        for (int position = 0; position < length; position++) {
            cache.read(layer, blocks, position, mine.row);
            addTimes(mine.scores[position], mine.row, 0, mine.sum);
        }
        for (int v = 0; v < latent.valueSize(); v++) {
            memory.attention[out + v] =
                    dot(weights.valueUp(), (head * latent.valueSize() + v) * latent.keyRank(), mine.sum);
        }
    }

    /// Adds the score of the rotated part, which is the same in both forms.
    private float rotated(int query, float[] row, float score) {
        float sum = score;
        for (int d = 0; d < latent.rotarySize(); d++) {
            sum = Math.fma(memory.query[query + latent.plainSize() + d], row[latent.keyRank() + d], sum);
        }
        return (float) (sum * scale);
    }

    /// @return the sum over the compressed elements of `a` from `at`, and `b`
    private float dot(float[] a, int at, float[] b) {
        float sum = 0;
        for (int r = 0; r < latent.keyRank(); r++) {
            sum = Math.fma(a[at + r], b[r], sum);
        }
        return sum;
    }

    private void addTimes(float factor, float[] x, int at, float[] y) {
        for (int r = 0; r < latent.keyRank(); r++) {
            y[r] = Math.fma(factor, x[at + r], y[r]);
        }
    }

    private static void softmax(float[] scores, int count) {
        float maximum = Float.NEGATIVE_INFINITY;
        for (int i = 0; i < count; i++) {
            maximum = Math.max(maximum, scores[i]);
        }
        double sum = 0;
        for (int i = 0; i < count; i++) {
            scores[i] = Exponential.exp(scores[i] - maximum);
            sum += scores[i];
        }
        float inverse = (float) (1 / sum);
        for (int i = 0; i < count; i++) {
            scores[i] *= inverse;
        }
    }
}
