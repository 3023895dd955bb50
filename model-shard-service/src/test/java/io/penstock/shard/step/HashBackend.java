package io.penstock.shard.step;

import io.penstock.model.checkpoint.Checkpoint;
import io.penstock.model.tensor.RankSlice;
import io.penstock.shard.backend.Backend;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.StepOutput;
import io.penstock.shard.backend.StepPlan;
import io.penstock.shard.collective.Collective;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Map;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.LongConsumer;

/// A model that is a hash: each stage mixes a token's state with what its own KV memory holds of the
/// position before, the ranks of a stage each compute every so-many-th position and meet in a sum, and the
/// last state is the next token. Any block, position or token that goes astray changes all that follows.
final class HashBackend implements Backend {
    // The largest product below stays exact in a float.
    private static final int PRIME = 8_191;

    final AtomicInteger loads = new AtomicInteger();
    final AtomicInteger submits = new AtomicInteger();
    /// Where a step waits before it computes; null: it does not.
    volatile Semaphore gate;
    /// Thrown by the next await.
    volatile RuntimeException failure;
    volatile Error error;
    /// Thrown by the next load.
    volatile RuntimeException loadFailure;
    volatile boolean awaitable = true;

    private final int kvBlocks;
    private final ArrayDeque<StepPlan> plans = new ArrayDeque<>();
    private Collective collective;
    private StepLimits limits;
    private int[][] memory;
    private int[] lastToken;
    private StepOutput output;
    private int[] slots;
    private int[] tokens;

    HashBackend(int kvBlocks) {
        this.kvBlocks = kvBlocks;
    }

    /// The text that a model of so many stages continues `prompt` with.
    static int[] generate(int[] prompt, int count, int stages) {
        int[] text = Arrays.copyOf(prompt, prompt.length + count);
        int[] states = new int[stages];
        for (int position = 0; position < text.length; position++) {
            int state = embed(text[position]);
            for (int stage = 0; stage < stages; stage++) {
                states[stage] = mix(state, states[stage], stage);
                state = states[stage];
            }
            if (position + 1 >= prompt.length && position + 1 < text.length) {
                text[position + 1] = state;
            }
        }
        return Arrays.copyOfRange(text, prompt.length, text.length);
    }

    private static int embed(int token) {
        return (token * 31 + 7) % PRIME;
    }

    private static int mix(int state, int before, int stage) {
        return (state * 17 + before * 13 + stage + 1) % PRIME;
    }

    @Override
    public String device() {
        return "hash";
    }

    @Override
    public void load(Checkpoint checkpoint, RankSlice slice, Map<String, Path> files, LongConsumer loaded) {
        loads.incrementAndGet();
        RuntimeException thrown = loadFailure;
        loadFailure = null;
        if (thrown != null) {
            throw thrown;
        }
        loaded.accept(1);
    }

    @Override
    public int configure(StepLimits newLimits, Collective newCollective) {
        limits = newLimits;
        collective = newCollective;
        plans.clear();
        memory = new int[kvBlocks][limits.blockSize()];
        lastToken = new int[limits.maxSequences()];
        slots = new int[limits.maxSequences()];
        tokens = new int[limits.maxSequences()];
        output = new StepOutput(limits.maxSequences(), 20);
        return kvBlocks;
    }

    @Override
    public void submit(StepPlan plan) {
        plans.add(plan);
        submits.incrementAndGet();
    }

    @Override
    public boolean awaitable() {
        return awaitable;
    }

    @Override
    public StepOutput await() {
        StepPlan plan = plans.remove();
        if (gate != null) {
            gate.acquireUninterruptibly();
        }
        RuntimeException thrown = failure;
        failure = null;
        if (thrown != null) {
            throw thrown;
        }
        if (error != null) {
            throw error;
        }
        long waitedBefore = collective.waitedNanos();
        boolean sampler = collective.tpRank() == 0 && collective.ppStage() == collective.ppSize() - 1;
        if (plan.number > 1 && !sampler) {
            int count = collective.receiveSampled(plan.number - 1, slots, tokens);
            for (int i = 0; i < count; i++) {
                lastToken[slots[i]] = tokens[i];
            }
        }
        float[] states = new float[plan.totalTokens];
        if (collective.ppStage() > 0) {
            collective.receivePrevious(states, 0, states.length);
        }
        compute(plan, states);
        if (collective.ppStage() + 1 < collective.ppSize()) {
            collective.sendNext(states, 0, states.length);
        }
        output.number = plan.number;
        output.count = 0;
        if (sampler) {
            sample(plan, states);
            collective.publishSampled(plan.number, output.slot, output.token, output.count);
        }
        output.waitNanos = collective.waitedNanos() - waitedBefore;
        return output;
    }

    private void compute(StepPlan plan, float[] states) {
        for (int row = 0; row < plan.rows; row++) {
            int[] table = plan.blockTable[plan.slot[row]];
            for (int i = 0; i < plan.count[row]; i++) {
                int at = plan.tokenOffset[row] + i;
                int position = plan.start[row] + i;
                int token = plan.tokens[at] == StepPlan.FROM_DEVICE ? lastToken[plan.slot[row]] : plan.tokens[at];
                int state = collective.ppStage() == 0 ? embed(token) : (int) states[at];
                int before = position == 0 ? 0 : cell(table, position - 1);
                int mixed = mix(state, before, collective.ppStage());
                float[] part = {position % collective.tpSize() == collective.tpRank() ? mixed : 0};
                collective.allReduce(part, 0, 1);
                states[at] = part[0];
                memory[table[position / limits.blockSize()]][position % limits.blockSize()] = (int) part[0];
            }
        }
    }

    private int cell(int[] table, int position) {
        return memory[table[position / limits.blockSize()]][position % limits.blockSize()];
    }

    private void sample(StepPlan plan, float[] states) {
        for (int row = 0; row < plan.rows; row++) {
            if (plan.samples[row]) {
                int entry = output.count++;
                output.slot[entry] = plan.slot[row];
                output.token[entry] = (int) states[plan.tokenOffset[row] + plan.count[row] - 1];
                output.logprob[entry] = -plan.generatedPosition[row];
                output.topCount[entry] = 0;
                lastToken[plan.slot[row]] = output.token[entry];
            }
        }
    }

    @Override
    public void close() {}
}
