package io.penstock.shard.step;

import static io.penstock.shard.step.Steps.admission;
import static io.penstock.shard.step.Steps.row;
import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.api.shard.Failure;
import io.penstock.api.shard.FailureCause;
import io.penstock.api.shard.Sampled;
import io.penstock.api.shard.Step;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.tensor.RankSlice;
import io.penstock.shard.RealModel;
import io.penstock.shard.backend.DeviceException;
import io.penstock.shard.weights.LocalWeights;
import io.penstock.shard.weights.Weights;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.Test;

class TestStepLoop {
    private static final Weights WEIGHTS = LocalWeights.open(RealModel.path(), "r");
    private static final Weights EXPERTS =
            LocalWeights.open(Path.of("src/test/resources/io/penstock/shard/backend/cpu/gguf/qwen3-moe.gguf"), "r");

    @Test
    void everySplitGeneratesTheSameText() {
        int[] first = {3, 1, 4, 1, 5, 9, 2};
        int[] second = {2, 7};
        for (int tpSize = 1; tpSize <= 3; tpSize++) {
            for (int ppSize = 1; ppSize <= 3; ppSize++) {
                try (LoopGroup group = new LoopGroup(tpSize, ppSize, WEIGHTS)) {
                    group.form(1);
                    assertThat(converse(group, 1, first, second))
                            .as("%d x %d", tpSize, ppSize)
                            .isDeepEqualTo(new int[][] {
                                HashBackend.generate(first, 6, ppSize), HashBackend.generate(second, 6, ppSize)
                            });
                }
            }
        }
    }

    // Prompts in chunks of three, two steps in flight, both sequences in each step.
    private static int[][] converse(LoopGroup group, long epoch, int[] first, int[] second) {
        List<Step.Builder> steps = new ArrayList<>();
        steps.add(Step.newBuilder()
                .addAdmissions(admission(5, 20, first))
                .addAdmissions(admission(2, 20, second))
                .addRows(row(5, 0, 3, false, 9, 3))
                .addRows(row(2, 0, 2, true, 7)));
        steps.add(Step.newBuilder().addRows(row(2, 2, 1, true)).addRows(row(5, 3, 3, false)));
        steps.add(Step.newBuilder().addRows(row(5, 6, 1, true)).addRows(row(2, 3, 1, true)));
        steps.add(Step.newBuilder().addRows(row(5, 7, 1, true)).addRows(row(2, 4, 1, true, 1)));
        steps.add(Step.newBuilder().addRows(row(5, 8, 1, true, 0)).addRows(row(2, 5, 1, true)));
        steps.add(Step.newBuilder().addRows(row(5, 9, 1, true)).addRows(row(2, 6, 1, true)));
        steps.add(Step.newBuilder().addRetiredSlots(2).addRows(row(5, 10, 1, true)));
        steps.add(Step.newBuilder().addRows(row(5, 11, 1, true)));
        int[][] texts = new int[2][6];
        int[] counts = new int[2];
        for (int number = 1; number <= steps.size() + 1; number++) {
            if (number <= steps.size()) {
                group.send(epoch, steps.get(number - 1).setNumber(number));
            }
            if (number >= 2) {
                for (Sampled sampled : group.collect(epoch, number - 1)) {
                    int text = sampled.getSlot() == 5 ? 0 : 1;
                    texts[text][counts[text]++] = sampled.getToken().getId();
                }
            }
        }
        assertThat(counts).containsExactly(6, 6);
        return texts;
    }

    @Test
    void theNextStepIsSubmittedWhileADeviceIsBusy() {
        try (LoopGroup group = new LoopGroup(1, 1, WEIGHTS)) {
            group.form(1);
            HashBackend backend = group.ranks.getFirst().hash();
            backend.awaitable = false;
            group.send(1, oneToken(1));
            until(() -> backend.submits.get() == 1);
            group.send(1, Step.newBuilder().setNumber(2).addRows(row(0, 1, 1, true)));
            until(() -> backend.submits.get() == 2);
            group.collect(1, 1);
            backend.awaitable = true;
            group.collect(1, 2);
        }
    }

    @Test
    void aStepThatDoesNotFitEndsTheEpochButNotTheRank() {
        try (LoopGroup group = new LoopGroup(1, 1, WEIGHTS)) {
            group.form(1);
            group.send(1, Step.newBuilder().setNumber(1).addRows(row(3, 0, 1, true)));
            Failure failure = failure(group.ranks.getFirst());
            assertThat(failure.getCause()).isEqualTo(FailureCause.FAILURE_CAUSE_STEP);
            assertThat(failure.getCategory()).isEqualTo("CORRUPT");
            assertThat(failure.getStep()).isEqualTo(1);
            assertThat(failure.getMessage()).contains("slot 3");
            assertThat(group.ranks.getFirst().loop.state()).isEqualTo(StepLoop.State.FORMING);
            // What was on its way is dropped, without a second complaint.
            group.send(1, oneToken(2));
            group.form(2);
            group.send(2, oneToken(1));
            assertThat(group.collect(2, 1)).hasSize(1);
            assertThat(group.ranks.getFirst().hash().loads).hasValue(1);
        }
    }

    @Test
    void aFailureOfTheComputationFailsTheStepItBelongsTo() {
        try (LoopGroup group = new LoopGroup(1, 1, WEIGHTS)) {
            group.form(1);
            group.send(1, oneToken(1));
            group.collect(1, 1);
            group.ranks.getFirst().hash().failure =
                    new PenstockException(ErrorCategory.INTERNAL, "logits of slot 0 hold NaN");
            group.send(1, Step.newBuilder().setNumber(2).addRows(row(0, 1, 1, true)));
            Failure failure = failure(group.ranks.getFirst());
            assertThat(failure.getCause()).isEqualTo(FailureCause.FAILURE_CAUSE_STEP);
            assertThat(failure.getCategory()).isEqualTo("INTERNAL");
            assertThat(failure.getStep()).isEqualTo(2);
            group.form(2);
        }
    }

    @Test
    void aLostDeviceEndsTheProcess() throws Exception {
        try (LoopGroup group = new LoopGroup(1, 1, WEIGHTS)) {
            group.form(1);
            LoopRank rank = group.ranks.getFirst();
            rank.hash().failure = new DeviceException(null, "the device fell off the bus");
            group.send(1, oneToken(1));
            assertThat(failure(rank).getCause()).isEqualTo(FailureCause.FAILURE_CAUSE_DEVICE);
            assertThat(rank.fatal.get(10, TimeUnit.SECONDS)).hasMessage("the device fell off the bus");
            rank.stream.completed.get(10, TimeUnit.SECONDS);
        }
    }

    @Test
    void anErrorOfTheJvmEndsTheProcess() throws Exception {
        try (LoopGroup group = new LoopGroup(1, 1, WEIGHTS)) {
            group.form(1);
            LoopRank rank = group.ranks.getFirst();
            rank.hash().error = new OutOfMemoryError("on purpose");
            group.send(1, oneToken(1));
            assertThat(failure(rank).getCause()).isEqualTo(FailureCause.FAILURE_CAUSE_DEVICE);
            assertThat(rank.fatal.get(10, TimeUnit.SECONDS)).isInstanceOf(OutOfMemoryError.class);
        }
    }

    @Test
    void weightsThatCannotBeHadAreTriedAgainInTheNextEpoch() {
        try (LoopGroup group = new LoopGroup(1, 1, WEIGHTS)) {
            LoopRank rank = group.ranks.getFirst();
            rank.hash().loadFailure = new PenstockException(ErrorCategory.UNAVAILABLE, "no weight-loader");
            rank.configure(1, group.configuration(rank).build());
            Failure failure = failure(rank);
            assertThat(failure.getCause()).isEqualTo(FailureCause.FAILURE_CAUSE_LOAD);
            assertThat(failure.getCategory()).isEqualTo("UNAVAILABLE");
            assertThat(failure.getMessage()).isEqualTo("no weight-loader");
            assertThat(rank.loop.loaded()).isNull();
            group.form(2);
            assertThat(rank.loop.loaded().layers().count()).isEqualTo(30);
        }
    }

    /// A rank without its experts computes something, and says nothing of it.
    @Test
    void aRankHoldsItsShareOfTheExperts() {
        try (LoopGroup group = new LoopGroup(2, 1, EXPERTS)) {
            group.form(1);
            for (LoopRank rank : group.ranks) {
                RankSlice share = RankSlice.of(EXPERTS.checkpoint().config(), rank.place.tpRank(), 2, 0, 1);
                assertThat(share.experts().count()).isPositive();
                assertThat(rank.loop.loaded()).isEqualTo(share);
            }
        }
    }

    /// What the scheduler knows a group by that it must not configure again and again.
    @Test
    void aSplitThatLeavesARankNothingIsBadInputAndNotTheRanksEnd() {
        try (LoopGroup group = new LoopGroup(10, 1, WEIGHTS)) {
            LoopRank rank = group.ranks.getFirst();
            for (int epoch = 1; epoch <= 2; epoch++) {
                rank.configure(epoch, group.configuration(rank).build());
                Failure failure = failure(rank);
                assertThat(failure.getCategory()).isEqualTo("BAD_INPUT");
                assertThat(failure.getMessage()).contains("too few for 4 ranks");
            }
        }
    }

    @Test
    void whenARankDiesTheOthersSayWhoAndServeAgainWithItsSuccessor() {
        try (LoopGroup group = new LoopGroup(2, 2, WEIGHTS)) {
            group.form(1);
            group.send(1, oneToken(1));
            group.collect(1, 1);
            group.restart(1);
            group.send(1, Step.newBuilder().setNumber(2).addRows(row(0, 1, 1, true)));
            for (int index : new int[] {0, 2, 3}) {
                Failure failure = failure(group.ranks.get(index));
                assertThat(failure.getCause()).isEqualTo(FailureCause.FAILURE_CAUSE_PEER);
                assertThat(failure.getStep()).isEqualTo(2);
            }
            group.form(2);
            int[] prompt = {4, 4, 4, 4, 4, 4, 4};
            int[] other = {8, 8};
            assertThat(converse(group, 2, prompt, other)[1]).containsExactly(HashBackend.generate(other, 6, 2));
            // Weights were kept.
            assertThat(group.ranks.get(0).hash().loads).hasValue(1);
        }
    }

    @Test
    void aLostSchedulerLeavesTheWeightsAndTheRank() {
        try (LoopGroup group = new LoopGroup(2, 1, WEIGHTS)) {
            group.form(3);
            // One rank waits for the other in a sum.
            LoopRank first = group.ranks.getFirst();
            first.step(3, oneToken(1));
            until(() -> first.hash().submits.get() == 1);
            group.ranks.forEach(rank -> rank.loop.detached(rank.stream));
            group.ranks.forEach(rank -> until(() -> rank.loop.state() == StepLoop.State.DETACHED));
            assertThat(first.loop.obeyedEpoch()).isEqualTo(3);
            group.ranks.forEach(LoopRank::attach);
            // A new scheduler may count from anywhere.
            group.form(1);
            group.send(1, oneToken(1));
            assertThat(group.collect(1, 1)).hasSize(1);
            assertThat(first.hash().loads).hasValue(1);
        }
    }

    @Test
    void aNewerEpochEndsTheWaitForPeersOfAnOlder() {
        try (LoopGroup group = new LoopGroup(2, 1, WEIGHTS)) {
            LoopRank first = group.ranks.get(0);
            LoopRank second = group.ranks.get(1);
            // The second rank never hears of epoch 1; the first of both roles waits for it.
            second.configure(1, group.configuration(second).build());
            until(() -> second.hash().loads.get() == 1);
            group.form(2);
            assertThat(first.loop.state()).isEqualTo(StepLoop.State.SERVING);
        }
    }

    @Test
    void stoppingFinishesTheStepInHand() throws Exception {
        LoopRank rank;
        try (LoopGroup group = new LoopGroup(1, 1, WEIGHTS)) {
            group.form(1);
            rank = group.ranks.getFirst();
            rank.hash().gate = new Semaphore(0);
            group.send(1, oneToken(1));
            until(() -> rank.loop.stalled().compareTo(Duration.ZERO) > 0);
            Thread stopping = Thread.ofPlatform().start(rank.loop::close);
            assertThat(rank.stream.completed).isNotDone();
            rank.hash().gate.release();
            assertThat(group.collect(1, 1)).hasSize(1);
            rank.stream.completed.get(10, TimeUnit.SECONDS);
            stopping.join(Duration.ofSeconds(10));
            assertThat(rank.loop.alive()).isFalse();
            assertThat(rank.loop.stalled()).isZero();
        }
    }

    @Test
    void aConfigurationThisRankCannotHoldIsRefused() {
        try (LoopGroup group = new LoopGroup(1, 1, WEIGHTS)) {
            LoopRank rank = group.ranks.getFirst();
            rank.configure(1, group.configuration(rank).setMaxStepTokens(65).build());
            assertThat(failure(rank).getMessage()).isEqualTo("max_step_tokens is 65, must lie in [1, 64]");
            rank.configure(2, group.configuration(rank).setLayerCount(31).build());
            assertThat(failure(rank).getMessage()).isEqualTo("layer_count is 31, must lie in [1, 30]");
            rank.configure(3, group.configuration(rank).setBlockSize(0).build());
            assertThat(failure(rank).getMessage()).contains("block_size is 0");
            group.form(4);
        }
    }

    private static Failure failure(LoopRank rank) {
        var report = rank.report();
        assertThat(report.hasFailure()).as("%s", report).isTrue();
        return report.getFailure();
    }

    private static Step.Builder oneToken(long number) {
        return Step.newBuilder()
                .setNumber(number)
                .addAdmissions(admission(0, 8, 1))
                .addRows(row(0, 0, 1, true, 0));
    }

    private static void until(BooleanSupplier condition) {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(10);
        while (!condition.getAsBoolean()) {
            assertThat(System.nanoTime()).isLessThan(deadline);
            Thread.onSpinWait();
        }
    }
}
