package io.penstock.shard.step;

import io.penstock.api.inference.Token;
import io.penstock.api.inference.TokenLogprob;
import io.penstock.api.shard.Sampled;
import io.penstock.api.shard.Step;
import io.penstock.api.shard.StepDone;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.shard.backend.Backend;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.StepOutput;
import io.penstock.shard.backend.StepPlan;
import io.penstock.shard.collective.Collective;

/// One epoch on this rank: its sequences, its peers, the steps submitted and not yet reported. Owned by the
/// step loop.
final class Epoch implements AutoCloseable {
    static final int MAX_IN_FLIGHT = 2;

    final long number;
    private final Backend backend;
    private final Collective collective;
    private final StepObserver observer;
    private final SequenceTable table;
    // A ring: step n is in entry n % 2.
    private final StepPlan[] plans = new StepPlan[MAX_IN_FLIGHT];
    private final Step[] steps = new Step[MAX_IN_FLIGHT];
    private final long[] submittedNanos = new long[MAX_IN_FLIGHT];
    private final boolean reportsSamples;
    private long submitted;
    private long completed;
    private long lastCompletedNanos;

    Epoch(
            long number,
            StepLimits limits,
            int kvBlocks,
            int vocabularySize,
            Backend backend,
            Collective collective,
            StepObserver observer) {
        this.number = number;
        this.backend = backend;
        this.collective = collective;
        this.observer = observer;
        table = new SequenceTable(limits, kvBlocks, vocabularySize);
        for (int i = 0; i < plans.length; i++) {
            plans[i] = table.newPlan();
        }
        reportsSamples = collective.tpRank() == 0 && collective.ppStage() == collective.ppSize() - 1;
    }

    int inFlight() {
        return (int) (submitted - completed);
    }

    /// Number of the oldest step in flight.
    long oldest() {
        return completed + 1;
    }

    /// When the step in hand began, on the monotonic clock; only if one is in flight.
    long oldestBeganNanos() {
        return Math.max(submittedNanos[ring(completed + 1)], lastCompletedNanos);
    }

    private static int ring(long step) {
        return (int) (step % MAX_IN_FLIGHT);
    }

    /// Submits the step; fewer than [#MAX_IN_FLIGHT] are in flight.
    void submit(Step step) {
        StepPlan plan = plans[ring(submitted + 1)];
        table.plan(step, plan);
        steps[ring(submitted + 1)] = step;
        submittedNanos[ring(submitted + 1)] = System.nanoTime();
        backend.submit(plan);
        submitted++;
    }

    /// Waits for the oldest step.
    ///
    /// @return what to report of it
    StepDone complete() {
        long began = oldestBeganNanos();
        StepOutput output = backend.await();
        completed++;
        long now = System.nanoTime();
        lastCompletedNanos = now;
        StepPlan plan = plans[ring(completed)];
        int expected = 0;
        for (int row = 0; row < plan.rows; row++) {
            expected += plan.samples[row] ? 1 : 0;
        }
        int wanted = reportsSamples ? expected : 0;
        if (output.number != plan.number || output.count != wanted) {
            throw new PenstockException(
                    ErrorCategory.INTERNAL,
                    "the backend answered step %d with %d tokens of step %d, %d were asked for",
                    plan.number,
                    output.count,
                    output.number,
                    wanted);
        }
        long waited = Math.min(output.waitNanos, now - began);
        StepDone.Builder done = StepDone.newBuilder()
                .setNumber(plan.number)
                .setComputeMicros((now - began - waited) / 1_000)
                .setWaitMicros(waited / 1_000);
        for (int i = 0; i < output.count; i++) {
            done.addSampled(sampled(output, i, plan.sampling[output.slot[i]].topLogprobs() >= 0));
        }
        observer.stepDone(steps[ring(completed)], plan.totalTokens, output.count, began, now, waited);
        steps[ring(completed)] = null;
        return done.build();
    }

    private static Sampled sampled(StepOutput output, int entry, boolean logprobs) {
        Token.Builder token = Token.newBuilder().setId(output.token[entry]);
        if (logprobs) {
            token.setLogprob(output.logprob[entry]);
            for (int i = 0; i < output.topCount[entry]; i++) {
                token.addTop(TokenLogprob.newBuilder()
                        .setId(output.topTokens[entry][i])
                        .setLogprob(output.topLogprobs[entry][i]));
            }
        }
        return Sampled.newBuilder().setSlot(output.slot[entry]).setToken(token).build();
    }

    @Override
    public void close() {
        collective.close();
        observer.ended(number);
    }
}
