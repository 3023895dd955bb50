package io.penstock.shard.backend.cpu;

import io.penstock.model.config.ModelConfig;
import io.penstock.model.tensor.RankSlice;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.StepPlan;
import io.penstock.shard.collective.Collective;
import io.penstock.shard.layers.RopeFrequencies;

/// The layers of this stage over all tokens of a step: phases, in each of which all workers do their
/// share. Read it from [#run] downwards. Allocates nothing.
///
/// `hidden` is the residual stream. What a layer adds to it lies in `delta` until the next norm, which
/// reads the sum.
final class ForwardPass {
    /// Tokens of a row that attention does together.
    private static final int ATTENTION_TOKENS = 8;

    private final ModelConfig config;
    private final Dimensions sizes;
    private final RankWeights weights;
    private final Kernels kernels;
    private final Workers workers;
    private final Collective collective;
    private final KvCache cache;
    private final int blockSize;
    private final StepMemory memory;
    private final RopeFrequencies frequencies;
    private final MatrixPhase matrices;
    private final float queryScale;
    /// Null for a model without.
    private final LatentAttentionPass latentAttention;

    private final ExpertPass experts;

    // Once, so that a step makes no objects.
    private final Workers.Phase embed = this::embed;
    private final Workers.Phase norm = this::norm;
    private final Workers.Phase rotate = this::rotate;
    private final Workers.Phase attend = this::attend;
    private final Workers.Phase activate = this::activate;
    private final Workers.Phase addLast = this::addLast;
    private final Workers.Phase normSampled = this::normSampled;

    // Of the phase in progress.
    private StepPlan plan;
    private int tokens;
    private int layer;
    private float[] normWeight;
    private boolean deltaPending;
    private int sampledRows;
    private int attentionItems;

    ForwardPass(
            ModelConfig config,
            RankSlice slice,
            Dimensions sizes,
            RankWeights weights,
            Kernels kernels,
            Workers workers,
            Collective collective,
            KvCache cache,
            LatentCache latentCache,
            LatentAttentionPass.Form latentForm,
            StepLimits limits,
            StepMemory memory) {
        this.config = config;
        this.sizes = sizes;
        this.weights = weights;
        this.kernels = kernels;
        this.workers = workers;
        this.collective = collective;
        this.cache = cache;
        blockSize = limits.blockSize();
        this.memory = memory;
        frequencies = RopeFrequencies.of(config, weights.ropeDivisors(), limits.maxLength());
        matrices = new MatrixPhase(kernels, memory);
        queryScale = (float) (1 / Math.sqrt(sizes.headSize()));
        latentAttention = latentCache == null
                ? null
                : new LatentAttentionPass(
                        config, sizes, kernels, workers, memory, matrices, latentCache, limits.maxLength(), latentForm);
        experts = config.experts().isPresent()
                ? new ExpertPass(config, slice, sizes, kernels, workers, memory, matrices)
                : null;
    }

    /// Computes the stage for the plan's tokens, whose slots, positions and ids are in the step memory:
    /// receives from the stage before, sends to the stage after.
    void run(StepPlan step) {
        plan = step;
        tokens = step.totalTokens;
        deltaPending = false;
        listAttentionItems();
        workers.run(embed);
        if (weights.embedding() == null) {
            collective.receivePrevious(memory.hidden, 0, tokens * sizes.hiddenStride());
        }
        for (layer = 0; layer < sizes.layers(); layer++) {
            attention(weights.layers()[layer]);
            mlp(weights.layers()[layer]);
        }
        workers.run(addLast);
        if (weights.output() == null) {
            collective.sendNext(memory.hidden, 0, tokens * sizes.hiddenStride());
        }
    }

    private void attention(LayerWeights layerWeights) {
        normWeight = layerWeights.attentionNorm();
        workers.run(norm);
        if (layerWeights.latent() != null) {
            latentAttention.run(plan, layer, layerWeights);
        } else {
            workers.run(matrices.begin(memory.normed, sizes.hiddenStride(), tokens)
                    .add(layerWeights.query(), memory.query)
                    .add(layerWeights.key(), memory.key)
                    .add(layerWeights.value(), memory.value));
            workers.run(rotate);
            workers.run(attend);
        }
        workers.run(matrices.begin(memory.attention, sizes.attentionStride(), tokens)
                .add(layerWeights.attentionOutput(), memory.delta));
        reduceDelta();
    }

    private void mlp(LayerWeights layerWeights) {
        normWeight = layerWeights.mlpNorm();
        workers.run(norm);
        if (layerWeights.experts() != null) {
            experts.run(tokens, layerWeights.experts());
        } else {
            workers.run(matrices.begin(memory.normed, sizes.hiddenStride(), tokens)
                    .add(layerWeights.gate(), memory.gate)
                    .add(layerWeights.up(), memory.up));
            workers.run(activate);
            workers.run(matrices.begin(memory.gate, sizes.intermediateStride(), tokens)
                    .add(layerWeights.down(), memory.delta));
        }
        reduceDelta();
    }

    private void reduceDelta() {
        if (collective.tpSize() > 1) {
            collective.allReduce(memory.delta, 0, tokens * sizes.hiddenStride());
        }
        deltaPending = true;
    }

    /// Computes this rank's logits of some tokens.
    ///
    /// @param rows how many, the tokens' indices in `memory.samplingRow` from `from`
    void logits(int from, int rows) {
        sampledRows = rows;
        for (int i = 0; i < rows; i++) {
            int token = memory.samplingRow[from + i];
            System.arraycopy(
                    memory.hidden,
                    token * sizes.hiddenStride(),
                    memory.sampled,
                    i * sizes.hiddenStride(),
                    sizes.hiddenStride());
        }
        workers.run(normSampled);
        workers.run(matrices.begin(memory.sampled, sizes.hiddenStride(), rows).add(weights.output(), memory.logits));
    }

    private void embed(int worker, int count) {
        int end = share(tokens, worker + 1, count);
        for (int token = share(tokens, worker, count); token < end; token++) {
            int promptLength = plan.sampling[memory.tokenSlot[token]].promptLength();
            frequencies.rotation(
                    memory.tokenPosition[token], promptLength, memory.rotation, token * sizes.rotarySize());
            if (weights.embedding() != null) {
                weights.embedding().row(memory.tokenId[token], memory.hidden, token * sizes.hiddenStride());
            }
        }
    }

    private void norm(int worker, int count) {
        int end = share(tokens, worker + 1, count);
        for (int token = share(tokens, worker, count); token < end; token++) {
            int at = token * sizes.hiddenStride();
            if (deltaPending) {
                kernels.add(memory.delta, at, memory.hidden, at, sizes.hidden());
            }
            kernels.rmsNorm(
                    memory.hidden,
                    at,
                    normWeight,
                    sizes.hidden(),
                    config.rmsNormEpsilon(),
                    memory.normed,
                    at,
                    memory.normScratch[worker]);
        }
    }

    private void rotate(int worker, int count) {
        LayerWeights layerWeights = weights.layers()[layer];
        int headSize = sizes.headSize();
        int end = share(tokens, worker + 1, count);
        for (int token = share(tokens, worker, count); token < end; token++) {
            int queryAt = token * sizes.queryStride();
            int kvAt = token * sizes.kvStride();
            if (layerWeights.queryBias() != null) {
                kernels.add(layerWeights.queryBias(), 0, memory.query, queryAt, sizes.heads() * headSize);
                kernels.add(layerWeights.keyBias(), 0, memory.key, kvAt, sizes.kvHeads() * headSize);
                kernels.add(layerWeights.valueBias(), 0, memory.value, kvAt, sizes.kvHeads() * headSize);
            }
            if (layerWeights.queryNorm() != null) {
                normHeads(memory.query, queryAt, sizes.heads(), layerWeights.queryNorm(), worker);
                normHeads(memory.key, kvAt, sizes.kvHeads(), layerWeights.keyNorm(), worker);
            }
            for (int head = 0; head < sizes.heads(); head++) {
                rotate(memory.query, queryAt + head * headSize, token, queryScale);
            }
            int position = memory.tokenPosition[token];
            int block = plan.blockTable[memory.tokenSlot[token]][position / blockSize];
            for (int head = 0; head < sizes.kvHeads(); head++) {
                int at = kvAt + head * headSize;
                rotate(memory.key, at, token, 1);
                cache.write(layer, block, head, position % blockSize, memory.key, at, memory.value, at);
            }
        }
    }

    private void normHeads(float[] values, int at, int heads, float[] weight, int worker) {
        int headSize = sizes.headSize();
        for (int head = 0; head < heads; head++) {
            int from = at + head * headSize;
            kernels.rmsNorm(
                    values, from, weight, headSize, config.rmsNormEpsilon(), values, from, memory.normScratch[worker]);
        }
    }

    private void rotate(float[] heads, int at, int token, float scale) {
        int headSize = sizes.headSize();
        Rotation.rotate(config.ropeLayout(), heads, at, headSize, memory.rotation, token * headSize, scale);
    }

    // Dealt out in turn: later tokens of a prompt look back further.
    private void attend(int worker, int count) {
        int items = attentionItems * sizes.kvHeads();
        for (int item = worker; item < items; item += count) {
            int token = memory.itemToken[item / sizes.kvHeads()];
            int kvHead = item % sizes.kvHeads();
            kernels.attend(
                    cache,
                    layer,
                    kvHead,
                    plan.blockTable[memory.tokenSlot[token]],
                    memory.tokenPosition[token],
                    memory.itemTokens[item / sizes.kvHeads()],
                    memory.query,
                    token * sizes.queryStride() + kvHead * sizes.group() * sizes.headSize(),
                    sizes.queryStride(),
                    sizes.group(),
                    memory.attention,
                    memory.attentionScratch[worker]);
        }
    }

    /// Neighbouring tokens of a row go together, since they read the same keys and values.
    private void listAttentionItems() {
        attentionItems = 0;
        for (int row = 0; row < plan.rows; row++) {
            for (int done = 0; done < plan.count[row]; done += ATTENTION_TOKENS) {
                memory.itemToken[attentionItems] = plan.tokenOffset[row] + done;
                memory.itemTokens[attentionItems] = Math.min(ATTENTION_TOKENS, plan.count[row] - done);
                attentionItems++;
            }
        }
    }

    private void activate(int worker, int count) {
        int units = tokens * sizes.intermediateStride() / PackedMatrix.PANEL_ROWS;
        int from = share(units, worker, count) * PackedMatrix.PANEL_ROWS;
        int to = share(units, worker + 1, count) * PackedMatrix.PANEL_ROWS;
        kernels.swiglu(memory.gate, from, memory.up, from, to - from);
    }

    private void addLast(int worker, int count) {
        if (!deltaPending) {
            return;
        }
        int from = share(tokens, worker, count) * sizes.hiddenStride();
        int to = share(tokens, worker + 1, count) * sizes.hiddenStride();
        kernels.add(memory.delta, from, memory.hidden, from, to - from);
    }

    private void normSampled(int worker, int count) {
        int end = share(sampledRows, worker + 1, count);
        for (int row = share(sampledRows, worker, count); row < end; row++) {
            int at = row * sizes.hiddenStride();
            kernels.rmsNorm(
                    memory.sampled,
                    at,
                    weights.outputNorm(),
                    sizes.hidden(),
                    config.rmsNormEpsilon(),
                    memory.sampled,
                    at,
                    memory.normScratch[worker]);
        }
    }

    static int share(int total, int worker, int count) {
        return (int) ((long) total * worker / count);
    }
}
