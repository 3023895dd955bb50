package io.penstock.shard.backend.cpu;

import io.penstock.model.sampling.SamplingParameters;
import io.penstock.shard.backend.SlotSampling;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.StepPlan;
import io.penstock.shard.collective.Collective;
import java.time.Duration;
import java.util.function.Function;

/// A few steps over the loaded weights that nobody asked for, so that the kernels are compiled before
/// the rank says that it is ready: the first step of a fresh JVM takes a hundred times longer than the
/// next, and to peers and scheduler a rank that computes so long looks like one that hangs.
final class Rehearsal {
    private static final int BLOCK = 16;
    /// Four register tiles of tokens and a rest: all shapes of tiles, and a share for several workers.
    private static final int PROMPT = 29;
    private static final int SEQUENCES = 4;
    private static final int DECODE_STEPS = 4;

    /// Blocks of KV memory that an epoch needs for it.
    static final int BLOCKS = SEQUENCES * ((PROMPT + DECODE_STEPS) / BLOCK + 1);

    static final StepLimits LIMITS = new StepLimits(BLOCK, SEQUENCES, PROMPT, PROMPT + DECODE_STEPS);

    private Rehearsal() {}

    /// @param collective says which rank this is; none of its wires is used
    /// @param epochs makes an epoch of [#LIMITS] and [#BLOCKS] over the peers it is given
    static void run(Collective collective, Function<Collective, Epoch> epochs) {
        try (Epoch epoch = epochs.apply(new Deaf(collective))) {
            StepPlan plan = new StepPlan(LIMITS, new int[SEQUENCES][], new SlotSampling[SEQUENCES]);
            for (int slot = 0; slot < SEQUENCES; slot++) {
                plan.blockTable[slot] = new int[BLOCKS / SEQUENCES];
                plan.sampling[slot] =
                        new SlotSampling(SamplingParameters.greedy(), new int[PROMPT], PROMPT, new int[0], 0, -1);
                for (int block = 0; block < BLOCKS / SEQUENCES; block++) {
                    plan.blockTable[slot][block] = slot * (BLOCKS / SEQUENCES) + block;
                }
            }
            // One sequence alone, then several, since small batches have kernels of their own. What the others
            // have for a prompt is nothing but zeros.
            step(epoch, plan, 1, 0, PROMPT);
            for (int i = 0; i < DECODE_STEPS; i++) {
                step(epoch, plan, 1, PROMPT + i, 1);
            }
            for (int i = 0; i < DECODE_STEPS; i++) {
                step(epoch, plan, SEQUENCES, PROMPT + i, 1);
            }
        }
    }

    private static void step(Epoch epoch, StepPlan plan, int rows, int start, int count) {
        plan.number++;
        plan.rows = rows;
        plan.totalTokens = rows * count;
        for (int row = 0; row < rows; row++) {
            plan.slot[row] = row;
            plan.start[row] = start;
            plan.count[row] = count;
            plan.tokenOffset[row] = row * count;
            plan.samples[row] = true;
            plan.generatedPosition[row] = start + count - PROMPT;
        }
        epoch.compute(plan);
    }

    /// Peers that are not there: sums are left as they are, nothing arrives.
    private record Deaf(Collective identity) implements Collective {
        @Override
        public int tpRank() {
            return identity.tpRank();
        }

        @Override
        public int tpSize() {
            return identity.tpSize();
        }

        @Override
        public int ppStage() {
            return identity.ppStage();
        }

        @Override
        public int ppSize() {
            return identity.ppSize();
        }

        @Override
        public void allReduce(float[] values, int offset, int count) {}

        @Override
        public void gather(float[] part, int offset, float[] whole, int wholeOffset, int[] counts) {}

        @Override
        public void sendNext(float[] values, int offset, int count) {}

        @Override
        public void receivePrevious(float[] values, int offset, int count) {}

        @Override
        public void publishSampled(long number, int[] slots, int[] tokens, int count) {}

        @Override
        public int receiveSampled(long number, int[] slots, int[] tokens) {
            return 0;
        }

        @Override
        public Duration timeout() {
            return identity.timeout();
        }

        @Override
        public void watchStage(Runnable lost) {}

        @Override
        public long waitedNanos() {
            return 0;
        }

        @Override
        public void close() {}
    }
}
