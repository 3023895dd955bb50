package io.penstock.shard.backend.cpu;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.config.ModelConfig;
import io.penstock.model.sampling.SamplingParameters;
import io.penstock.model.tensor.RankSlice;
import io.penstock.shard.backend.SlotSampling;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.StepOutput;
import io.penstock.shard.backend.StepPlan;
import io.penstock.shard.collective.Collective;
import io.penstock.shard.sampling.Sampler;
import java.lang.foreign.Arena;

/// What lives from one configuration to the next: KV memory, step memory, the ids last sampled, the
/// peers.
final class Epoch implements AutoCloseable {
    private final ModelConfig config;
    private final RankSlice slice;
    private final Dimensions sizes;
    private final StepLimits limits;
    private final Collective collective;
    private final Arena arena;
    private final int blocks;
    private final StepMemory memory;
    private final ForwardPass forward;
    private final StepOutput output;

    /// Whether this rank draws the tokens; null sampler elsewhere.
    private final boolean draws;

    private final Sampler sampler;
    private final SlotSampling[] admitted;

    /// Logits of the whole vocabulary, where they come from several ranks.
    private final float[] gathered;

    private final int[] vocabularyCounts;

    private final int[] lastSampled;
    /// The step that did; 0 for none.
    private final long[] lastSamplingStep;

    private final int[] receivedSlots;
    private final int[] receivedTokens;
    /// The last step whose sampled ids have come.
    private long received;

    /// @param arena closed with the epoch
    Epoch(
            ModelConfig config,
            RankSlice slice,
            Dimensions sizes,
            RankWeights weights,
            Kernels kernels,
            Workers workers,
            StepLimits limits,
            Collective collective,
            int blocks,
            LatentAttentionPass.Form latentForm,
            Arena arena) {
        this.config = config;
        this.slice = slice;
        this.sizes = sizes;
        this.limits = limits;
        this.collective = collective;
        this.arena = arena;
        draws = slice.samples() && collective.tpRank() == 0;
        memory = new StepMemory(config, sizes, limits, workers.count(), slice.samples(), arena);
        boolean compressed = config.latent().isPresent();
        this.blocks = blocks;
        KvCache cache = compressed
                ? null
                : new KvCache(sizes.layers(), sizes.kvHeads(), sizes.headSize(), limits.blockSize(), blocks, arena);
        LatentCache latentCache = compressed
                ? new LatentCache(sizes.layers(), config.cachedSize(), limits.blockSize(), blocks, arena)
                : null;
        forward = new ForwardPass(
                config,
                slice,
                sizes,
                weights,
                kernels,
                workers,
                collective,
                cache,
                latentCache,
                latentForm,
                limits,
                memory);
        output = new StepOutput(limits.maxSequences(), SamplingParameters.MAX_TOP_LOGPROBS);
        sampler = draws ? new Sampler(config.vocabularySize(), limits) : null;
        admitted = new SlotSampling[limits.maxSequences()];
        vocabularyCounts = new int[collective.tpSize()];
        for (int rank = 0; rank < vocabularyCounts.length; rank++) {
            vocabularyCounts[rank] = RankSlice.of(
                            config, rank, collective.tpSize(), collective.ppStage(), collective.ppSize())
                    .vocabulary()
                    .count();
        }
        gathered = draws && collective.tpSize() > 1 ? new float[config.vocabularySize()] : null;
        lastSampled = new int[limits.maxSequences()];
        lastSamplingStep = new long[limits.maxSequences()];
        receivedSlots = new int[limits.maxSequences()];
        receivedTokens = new int[limits.maxSequences()];
    }

    int blocks() {
        return blocks;
    }

    StepOutput compute(StepPlan plan) {
        check(plan);
        long waited = collective.waitedNanos();
        output.number = plan.number;
        output.count = 0;
        // Not later than the ids of two steps ago, which the scheduler has had: or the wires would fill
        // up.
        receiveUpTo(plan.number - 2);
        resolveTokens(plan);
        forward.run(plan);
        if (slice.samples()) {
            sample(plan);
        }
        noteSampling(plan);
        output.waitNanos = collective.waitedNanos() - waited;
        return output;
    }

    private void resolveTokens(StepPlan plan) {
        for (int row = 0; row < plan.rows; row++) {
            int slot = plan.slot[row];
            for (int i = 0; i < plan.count[row]; i++) {
                int token = plan.tokenOffset[row] + i;
                int id = plan.tokens[token];
                if (id == StepPlan.FROM_DEVICE) {
                    receiveUpTo(lastSamplingStep[slot]);
                    id = lastSampled[slot];
                }
                memory.tokenId[token] = id;
                memory.tokenSlot[token] = slot;
                memory.tokenPosition[token] = plan.start[row] + i;
            }
        }
    }

    private void receiveUpTo(long number) {
        if (draws) {
            return;
        }
        while (received < number) {
            received++;
            int count = collective.receiveSampled(received, receivedSlots, receivedTokens);
            for (int i = 0; i < count; i++) {
                lastSampled[receivedSlots[i]] = receivedTokens[i];
            }
        }
    }

    private void sample(StepPlan plan) {
        int rows = 0;
        for (int row = 0; row < plan.rows; row++) {
            if (plan.samples[row]) {
                memory.samplingRow[rows++] = plan.tokenOffset[row] + plan.count[row] - 1;
            }
        }
        int row = 0;
        for (int from = 0; from < rows; from += StepMemory.LOGIT_ROWS) {
            int here = Math.min(StepMemory.LOGIT_ROWS, rows - from);
            forward.logits(from, here);
            for (int i = 0; i < here; i++) {
                while (!plan.samples[row]) {
                    row++;
                }
                draw(plan, row++, i * sizes.vocabularyStride());
            }
        }
        if (draws && collective.tpSize() * collective.ppSize() > 1) {
            collective.publishSampled(plan.number, output.slot, output.token, output.count);
        }
    }

    private void draw(StepPlan plan, int row, int offset) {
        float[] logits = memory.logits;
        int at = offset;
        if (collective.tpSize() > 1) {
            collective.gather(logits, offset, gathered, 0, vocabularyCounts);
            logits = gathered;
            at = 0;
        }
        if (!draws) {
            return;
        }
        int slot = plan.slot[row];
        admit(slot, plan.sampling[slot]);
        sampler.sample(slot, plan.generatedPosition[row], logits, at, output);
        lastSampled[slot] = output.token[output.count - 1];
    }

    // Each admission of a sequence brings a record of its own.
    @SuppressWarnings("ReferenceEquality")
    private void admit(int slot, SlotSampling sampling) {
        if (admitted[slot] != sampling) {
            sampler.admit(slot, sampling);
            admitted[slot] = sampling;
        }
    }

    private void noteSampling(StepPlan plan) {
        for (int row = 0; row < plan.rows; row++) {
            if (plan.samples[row]) {
                lastSamplingStep[plan.slot[row]] = plan.number;
            }
        }
    }

    // Cheap beside the step, and what stands between a wrong plan and another sequence's memory.
    private void check(StepPlan plan) {
        require(plan.rows <= limits.maxSequences(), plan, "rows", plan.rows);
        require(plan.totalTokens <= limits.maxStepTokens(), plan, "tokens", plan.totalTokens);
        int tokens = 0;
        for (int row = 0; row < plan.rows; row++) {
            int slot = plan.slot[row];
            require(slot >= 0 && slot < limits.maxSequences(), plan, "slot", slot);
            int start = plan.start[row];
            int count = plan.count[row];
            require(start >= 0 && start <= limits.maxLength(), plan, "start", start);
            require(count > 0 && count <= limits.maxLength() - start, plan, "count", count);
            require(plan.tokenOffset[row] == tokens, plan, "token offset", plan.tokenOffset[row]);
            tokens += count;
            require(tokens <= plan.totalTokens, plan, "tokens", tokens);
            int blocks = Math.ceilDiv(start + count, limits.blockSize());
            for (int i = 0; i < blocks; i++) {
                int block = plan.blockTable[slot][i];
                require(block >= 0 && block < this.blocks, plan, "block", block);
            }
        }
        require(tokens == plan.totalTokens, plan, "tokens", tokens);
        for (int i = 0; i < tokens; i++) {
            int id = plan.tokens[i];
            require(id >= StepPlan.FROM_DEVICE && id < config.vocabularySize(), plan, "token id", id);
        }
    }

    private static void require(boolean holds, StepPlan plan, String what, int value) {
        if (!holds) {
            throw new PenstockException(
                    ErrorCategory.INTERNAL, "step %d: %s is %d, out of bounds", plan.number, what, value);
        }
    }

    @Override
    public void close() {
        arena.close();
    }
}
