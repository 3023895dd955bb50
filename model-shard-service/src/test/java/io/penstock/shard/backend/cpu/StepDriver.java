package io.penstock.shard.backend.cpu;

import io.penstock.model.sampling.SamplingParameters;
import io.penstock.shard.backend.Backend;
import io.penstock.shard.backend.SlotSampling;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.StepOutput;
import io.penstock.shard.backend.StepPlan;
import java.util.ArrayList;
import java.util.List;

/// A scheduler in small: keeps block tables and sequences, makes plans, runs them on a backend.
final class StepDriver {
    private final StepLimits limits;
    private final Backend backend;
    private final int topLogprobs;
    private final int[][] blockTable;
    private final SlotSampling[] sampling;
    private final StepPlan plan;
    private final Sequence[] sequences;
    private int nextBlock;
    private long number;

    /// @param generated ids sampled so far
    /// @param logprobs theirs
    record Generation(List<Integer> generated, List<Float> logprobs) {}

    private static final class Sequence {
        final int[] prompt;
        final Generation generation = new Generation(new ArrayList<>(), new ArrayList<>());
        int computed;

        Sequence(int[] prompt) {
            this.prompt = prompt;
        }
    }

    StepDriver(Backend backend, StepLimits limits) {
        this(backend, limits, 2);
    }

    /// @param topLogprobs alternatives that a step's output tells of each token
    StepDriver(Backend backend, StepLimits limits, int topLogprobs) {
        this.topLogprobs = topLogprobs;
        this.backend = backend;
        this.limits = limits;
        blockTable = new int[limits.maxSequences()][Math.ceilDiv(limits.maxLength(), limits.blockSize())];
        sampling = new SlotSampling[limits.maxSequences()];
        sequences = new Sequence[limits.maxSequences()];
        plan = new StepPlan(limits, blockTable, sampling);
    }

    void admit(int slot, int[] prompt) {
        sequences[slot] = new Sequence(prompt);
        sampling[slot] =
                new SlotSampling(SamplingParameters.greedy(), prompt, prompt.length, new int[0], 0, topLogprobs);
    }

    Generation generation(int slot) {
        return sequences[slot].generation;
    }

    void begin() {
        plan.rows = 0;
        plan.totalTokens = 0;
        plan.number = number + 1;
    }

    /// Adds a row: up to `most` tokens of the slot's prompt, or its next decode token.
    void row(int slot, int most) {
        Sequence sequence = sequences[slot];
        int row = plan.rows++;
        boolean decodes = sequence.computed >= sequence.prompt.length;
        int count = decodes ? 1 : Math.min(most, sequence.prompt.length - sequence.computed);
        plan.slot[row] = slot;
        plan.start[row] = sequence.computed;
        plan.count[row] = count;
        plan.tokenOffset[row] = plan.totalTokens;
        plan.samples[row] = sequence.computed + count >= sequence.prompt.length;
        plan.generatedPosition[row] = sequence.computed + count - sequence.prompt.length;
        for (int i = 0; i < count; i++) {
            int position = sequence.computed + i;
            plan.tokens[plan.totalTokens++] = decodes ? StepPlan.FROM_DEVICE : sequence.prompt[position];
            if (position % limits.blockSize() == 0) {
                blockTable[slot][position / limits.blockSize()] = nextBlock++;
            }
        }
        sequence.computed += count;
    }

    /// Tokens that the step being made has room for.
    int room() {
        return limits.maxStepTokens() - plan.totalTokens;
    }

    int rows() {
        return plan.rows;
    }

    /// Runs the step and keeps nothing of what it sampled.
    void compute() {
        number++;
        backend.submit(plan);
        backend.await();
    }

    StepOutput run() {
        number++;
        backend.submit(plan);
        StepOutput output = backend.await();
        for (int i = 0; i < output.count; i++) {
            Generation generation = sequences[output.slot[i]].generation;
            generation.generated().add(output.token[i]);
            generation.logprobs().add(output.logprob[i]);
        }
        return output;
    }

    /// Prefills one sequence in chunks, then decodes until it has `tokens`.
    Generation generate(int slot, int[] prompt, int chunk, int tokens) {
        admit(slot, prompt);
        while (generation(slot).generated().size() < tokens) {
            begin();
            row(slot, chunk);
            run();
        }
        return generation(slot);
    }
}
