package io.penstock.bench.cpu;

import io.penstock.model.sampling.SamplingParameters;
import io.penstock.shard.backend.Backend;
import io.penstock.shard.backend.SlotSampling;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.StepPlan;
import io.penstock.shard.collective.LocalCollective;

/// Steps one behind another on a backend of one rank: the shortest way from plan to plan.
public final class BareLoop {
    private final Backend backend;
    private final StepLimits limits;
    private final int vocabulary;
    private StepPlan plan;
    private int[] length;

    /// What each of `sequences` does: after `depth` tokens that are not counted, `prompt` tokens in
    /// steps as large as allowed, then `generated` ones, one a step.
    public record Load(int depth, int prompt, int generated, int sequences) {
        /// As in `pp512`, `tg128`, `tg128@1024`, `tg64x8`.
        public static Load parse(String text) {
            if (!text.matches("(pp|tg)\\d{1,6}(@\\d{1,6})?(x\\d{1,3})?")) {
                throw new IllegalArgumentException(
                        text + " is no test; those are ppN or tgN, with @DEPTH and xSEQUENCES");
            }
            String[] parts = text.substring(2).split("[@x]");
            int tokens = Integer.parseInt(parts[0]);
            int depth = text.contains("@") ? Integer.parseInt(parts[1]) : 0;
            int sequences = text.contains("x") ? Integer.parseInt(parts[parts.length - 1]) : 1;
            // Something must be there to go on from.
            return text.startsWith("pp")
                    ? new Load(depth, tokens, 0, sequences)
                    : new Load(Math.max(depth, 1), 0, tokens, sequences);
        }

        int positions() {
            return depth + prompt + generated;
        }
    }

    public BareLoop(Backend backend, StepLimits limits, int vocabulary) {
        this.backend = backend;
        this.limits = limits;
        this.vocabulary = vocabulary;
    }

    /// @return of all sequences together
    public double tokensPerSecond(Load load) {
        if (load.positions() > limits.maxLength() || load.sequences() > limits.maxSequences()) {
            throw new IllegalArgumentException("%s exceeds %s".formatted(load, limits));
        }
        int blocks = Math.ceilDiv(limits.maxLength(), limits.blockSize());
        int[][] blockTable = new int[limits.maxSequences()][blocks];
        SlotSampling[] sampling = new SlotSampling[limits.maxSequences()];
        int next = 0;
        for (int slot = 0; slot < load.sequences(); slot++) {
            for (int i = 0; i * limits.blockSize() < load.positions(); i++) {
                blockTable[slot][i] = next++;
            }
            sampling[slot] = new SlotSampling(SamplingParameters.greedy(), new int[] {1}, 1, new int[0], 0, -1);
        }
        int available = backend.configure(limits, new LocalCollective());
        if (next > available) {
            throw new IllegalArgumentException("%s needs %d KV blocks of %d".formatted(load, next, available));
        }
        plan = new StepPlan(limits, blockTable, sampling);
        length = new int[load.sequences()];
        for (int slot = 0; slot < load.sequences(); slot++) {
            prefill(slot, load.depth());
        }
        long began = System.nanoTime();
        for (int slot = 0; slot < load.sequences(); slot++) {
            prefill(slot, load.prompt());
        }
        for (int i = 0; i < load.generated(); i++) {
            begin();
            for (int slot = 0; slot < load.sequences(); slot++) {
                row(slot, 1, true);
            }
            finish();
        }
        double tokens = (double) load.sequences() * (load.prompt() + load.generated());
        return tokens / ((System.nanoTime() - began) / 1e9);
    }

    private void prefill(int slot, int tokens) {
        for (int done = 0; done < tokens; ) {
            int here = Math.min(limits.maxStepTokens(), tokens - done);
            done += here;
            begin();
            row(slot, here, false);
            plan.samples[0] = done == tokens;
            finish();
        }
    }

    private void begin() {
        plan.number++;
        plan.rows = 0;
        plan.totalTokens = 0;
    }

    private void row(int slot, int count, boolean decodes) {
        int row = plan.rows++;
        plan.slot[row] = slot;
        plan.start[row] = length[slot];
        plan.count[row] = count;
        plan.tokenOffset[row] = plan.totalTokens;
        plan.samples[row] = decodes;
        plan.generatedPosition[row] = length[slot];
        for (int i = 0; i < count; i++) {
            // Any ids will do, as long as they differ.
            int made = (length[slot] + i) * 7_919 % vocabulary;
            plan.tokens[plan.totalTokens++] = decodes ? StepPlan.FROM_DEVICE : made;
        }
        length[slot] += count;
    }

    private void finish() {
        backend.submit(plan);
        backend.await();
    }
}
