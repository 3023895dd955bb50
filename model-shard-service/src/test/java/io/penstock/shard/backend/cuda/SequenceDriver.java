package io.penstock.shard.backend.cuda;

import io.penstock.model.config.ModelConfig;
import io.penstock.model.sampling.SamplingParameters;
import io.penstock.model.tensor.RankSlice;
import io.penstock.shard.backend.SlotSampling;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.StepOutput;
import io.penstock.shard.backend.StepPlan;
import io.penstock.shard.collective.Collective;
import io.penstock.shard.collective.LocalCollective;
import java.util.ArrayList;
import java.util.List;

/// Drives a backend as a scheduler would: one budget a step for chunks of prompts and decode rows,
/// blocks handed out as sequences grow, from both ends in turn so that no two neighbours are neighbours
/// in memory.
final class SequenceDriver {
    private final CudaBackend backend;
    private final StepLimits limits;
    private final int[][] table;
    private final SlotSampling[] sampling;
    private final StepPlan[] plans = new StepPlan[2];
    private final List<Integer> freeBlocks = new ArrayList<>();
    private final boolean reports;
    private long number;

    SequenceDriver(CudaBackend backend, StepLimits limits) {
        this(backend, limits, new LocalCollective());
    }

    /// @param collective with which every rank drives the same sequences
    SequenceDriver(CudaBackend backend, StepLimits limits, Collective collective) {
        this.backend = backend;
        this.limits = limits;
        reports = collective.tpRank() == 0 && collective.ppStage() == collective.ppSize() - 1;
        int kvBlocks = backend.configure(limits, collective);
        for (int low = 0, high = kvBlocks - 1; low <= high; low++, high--) {
            freeBlocks.add(low);
            if (high > low) {
                freeBlocks.add(high);
            }
        }
        table = new int[limits.maxSequences()][(limits.maxLength() + limits.blockSize() - 1) / limits.blockSize()];
        sampling = new SlotSampling[limits.maxSequences()];
        plans[0] = new StepPlan(limits, table, sampling);
        plans[1] = new StepPlan(limits, table, sampling);
    }

    static RankSlice whole(ModelConfig config) {
        return RankSlice.of(config, 0, 1, 0, 1);
    }

    /// A sequence on its way.
    static final class Sequence {
        final int[] prompt;
        /// What it is told to go on with, or null to go on with what is sampled.
        final int[] forced;

        /// Tokens in all; may grow between two runs.
        int wanted;

        final List<Integer> generated = new ArrayList<>();
        final List<float[]> logits = new ArrayList<>();
        int computed;
        int planned;
        int blocks;

        Sequence(int[] prompt, int[] forced, int wanted) {
            this.prompt = prompt;
            this.forced = forced;
            this.wanted = wanted;
        }
    }

    interface Tap {
        void sampled(Sequence sequence);
    }

    void admit(int slot, Sequence sequence, SamplingParameters parameters, int topLogprobs) {
        sampling[slot] =
                new SlotSampling(parameters, sequence.prompt, sequence.prompt.length, new int[0], 0, topLogprobs);
    }

    /// Gives a slot's blocks back.
    void retire(int slot, Sequence sequence) {
        for (int i = 0; i < sequence.blocks; i++) {
            freeBlocks.add(table[slot][i]);
        }
    }

    /// Runs all sequences to their ends, slot i for the i-th.
    ///
    /// @param inFlight 1 or 2 steps; with 2, logits cannot be kept
    void run(List<Sequence> sequences, boolean keepLogits, int inFlight) {
        int vocabulary = -1;
        List<List<Sequence>> flying = new ArrayList<>();
        while (true) {
            List<Sequence> sampled = new ArrayList<>();
            boolean any = plan(sequences, sampled);
            if (any) {
                backend.submit(plans[(int) (number % 2)]);
                flying.add(sampled);
            }
            while (flying.size() >= (any ? inFlight : 1)) {
                StepOutput output = backend.await();
                List<Sequence> done = flying.removeFirst();
                if (output.count != (reports ? done.size() : 0)) {
                    throw new AssertionError("%d results for %d rows".formatted(output.count, done.size()));
                }
                float[] logits = keepLogits && output.count > 0 ? backend.logits(output.count) : null;
                for (int i = 0; i < output.count; i++) {
                    done.get(i).generated.add(output.token[i]);
                    if (logits != null) {
                        vocabulary = logits.length / output.count;
                        float[] row = new float[vocabulary];
                        System.arraycopy(logits, i * vocabulary, row, 0, vocabulary);
                        done.get(i).logits.add(row);
                    }
                }
            }
            if (!any && flying.isEmpty()) {
                return;
            }
        }
    }

    long lastStep() {
        return number;
    }

    private boolean plan(List<Sequence> sequences, List<Sequence> sampled) {
        StepPlan plan = plans[(int) ((number + 1) % 2)];
        plan.number = number + 1;
        plan.rows = 0;
        plan.totalTokens = 0;
        int budget = limits.maxStepTokens();
        for (int slot = 0; slot < sequences.size(); slot++) {
            Sequence sequence = sequences.get(slot);
            int known = sequence.prompt.length + sequence.planned;
            int left = known - sequence.computed;
            int count = Math.min(left, budget);
            if (count == 0 || sequence.planned == sequence.wanted) {
                continue;
            }
            int row = plan.rows++;
            plan.slot[row] = slot;
            plan.start[row] = sequence.computed;
            plan.count[row] = count;
            plan.tokenOffset[row] = plan.totalTokens;
            for (int i = 0; i < count; i++) {
                int position = sequence.computed + i;
                int after = position - sequence.prompt.length;
                plan.tokens[plan.totalTokens + i] = after < 0
                        ? sequence.prompt[position]
                        : sequence.forced == null ? StepPlan.FROM_DEVICE : sequence.forced[after];
            }
            plan.totalTokens += count;
            budget -= count;
            sequence.computed += count;
            while (sequence.blocks * limits.blockSize() < sequence.computed) {
                table[slot][sequence.blocks++] = freeBlocks.removeFirst();
            }
            plan.samples[row] = sequence.computed == known;
            if (plan.samples[row]) {
                plan.generatedPosition[row] = sequence.planned++;
                sampled.add(sequence);
            }
        }
        if (plan.rows == 0) {
            return false;
        }
        number++;
        return true;
    }
}
