package io.penstock.scheduler.group;

import static io.penstock.scheduler.group.FakeCluster.SECOND;
import static io.penstock.scheduler.group.FakeCluster.limits;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.api.inference.FinishReason;
import io.penstock.api.inference.GroupState;
import io.penstock.api.inference.GroupStatus;
import io.penstock.api.inference.Token;
import io.penstock.api.shard.Failure;
import io.penstock.api.shard.FailureCause;
import io.penstock.api.shard.Hello;
import io.penstock.api.shard.LoadProgress;
import io.penstock.api.shard.ShardReport;
import io.penstock.api.shard.StepDone;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.scheduler.batch.SequenceRequest;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

final class TestShardGroup {
    private final GroupLimits limits = limits(4, 32, 8, 16);

    @Test
    void generatesWhatTheModelSays() {
        FakeCluster cluster = new FakeCluster(limits, 1, 1, 64, 256).serving();
        List<FakeClient> clients =
                IntStream.range(1, 8).mapToObj(n -> FakeClient.of(5 * n, 3 * n)).toList();
        clients.forEach(cluster::submit);
        cluster.run();
        for (FakeClient client : clients) {
            client.check();
            assertThat(client.finished.getReason()).isEqualTo(FinishReason.FINISH_REASON_LENGTH);
        }
        assertIdle(cluster);
        assertThat(cluster.ranks.getFirst().deepest).isEqualTo(2);
    }

    @Test
    void startsOnlyWhenEveryRankIsReady() {
        FakeCluster cluster = new FakeCluster(limits, 2, 2, 64, 256);
        FakeClient client = FakeClient.of(5, 5);
        cluster.attach(cluster.ranks.get(3));
        cluster.submit(client);
        for (int i : new int[] {1, 0}) {
            cluster.attach(cluster.ranks.get(i));
            cluster.group.turn();
        }
        assertThat(cluster.step()).isFalse();
        assertThat(cluster.group.snapshot().state()).isEqualTo(GroupState.GROUP_STATE_FORMING);

        cluster.attach(cluster.ranks.get(2));
        cluster.group.turn();
        assertThat(cluster.group.snapshot().state()).isEqualTo(GroupState.GROUP_STATE_LOADING);
        for (FakeRank rank : cluster.ranks) {
            assertThat(cluster.group.snapshot().serving()).isFalse();
            cluster.report(
                    rank,
                    ShardReport.newBuilder()
                            .setEpoch(cluster.group.snapshot().epoch())
                            .setLoadProgress(
                                    LoadProgress.newBuilder().setBytesLoaded(3).setBytesTotal(10))
                            .build());
            cluster.report(rank, rank.run());
        }
        assertThat(cluster.group.snapshot().status(0).getBytesLoaded()).isEqualTo(12);
        assertThat(cluster.group.snapshot().status(0).getBytesToLoad()).isEqualTo(40);
        assertThat(cluster.group.snapshot().serving()).isTrue();
        cluster.run();
        client.check();
        assertThat(client.finished).isNotNull();
    }

    @Test
    void partsLayersEvenlyAndKeepsWhatIsLoaded() {
        FakeCluster cluster = new FakeCluster(limits, 1, 4, 64, 256).serving();
        assertThat(cluster.ranks)
                .extracting(rank -> rank.configured().getFirstLayer())
                .containsExactly(0, 8, 16, 23);
        assertThat(cluster.ranks)
                .extracting(rank -> rank.configured().getLayerCount())
                .containsExactly(8, 8, 7, 7);

        cluster.ranks.get(1).hello().setLoadedFirstLayer(10).setLoadedLayerCount(5);
        cluster.ranks.getFirst().hello().setLoadedLayerCount(0);
        cluster.ranks.get(2).hello().setLoadedLayerCount(0);
        cluster.ranks.get(3).hello().setLoadedLayerCount(0);
        cluster.restartScheduler();
        cluster.serving();
        assertThat(cluster.ranks)
                .extracting(rank -> rank.configured().getFirstLayer())
                .containsExactly(0, 10, 15, 23);
    }

    @Test
    void refusesARankThatDoesNotFit() {
        FakeCluster cluster = new FakeCluster(limits, 2, 2, 64, 256);
        cluster.attach(cluster.ranks.getFirst());
        assertRefused(cluster, hello -> hello.setProtocol(2), "protocol is 2, this scheduler speaks 1");
        assertRefused(cluster, hello -> hello.setModel("other"), "model is other, the other ranks of group g say fake");
        assertRefused(cluster, hello -> hello.setTpSize(3), "tp_size is 3, the other ranks of group g say 2");
        assertRefused(cluster, hello -> hello.setTpRank(2), "tp_rank is 2, must lie in [0, 1]");
        assertRefused(cluster, hello -> hello.setPpSize(0), "pp_size is 0");
        assertRefused(cluster, hello -> hello.setPeerPort(0), "peer_port is 0");
        assertRefused(cluster, hello -> hello.getShapeBuilder().setLayers(1), "shape.layers is 1, must lie in [2,");
        assertRefused(cluster, hello -> hello.getShapeBuilder().setVocabularySize(9), "vocabulary_size is 9");
        assertThat(cluster.group.snapshot().ranksAttached()).isEqualTo(1);
    }

    private static void assertRefused(FakeCluster cluster, Consumer<Hello.Builder> change, String message) {
        Hello.Builder hello = cluster.ranks.get(1).hello().clone();
        change.accept(hello);
        assertThatThrownBy(() -> cluster.group.attach(hello.build(), 0, cluster.ranks.get(1)))
                .isInstanceOf(PenstockException.class)
                .hasMessageContaining(message);
    }

    @Test
    void goesOnAfterARankIsLost() {
        FakeCluster cluster = new FakeCluster(limits, 2, 2, 64, 256).serving();
        FakeClient client = FakeClient.of(40, 20);
        cluster.submit(client);
        for (int i = 0; i < 6; i++) {
            cluster.step();
        }
        assertThat(client.got).isNotEmpty().hasSizeLessThan(20);
        long epoch = cluster.group.snapshot().epoch();
        FakeRank lost = cluster.ranks.get(2);
        cluster.lose(lost);
        assertThat(cluster.group.snapshot().serving()).isFalse();
        assertThat(cluster.group.snapshot().waiting()).isEqualTo(1);

        // What the others still report is of the old epoch.
        cluster.step();
        cluster.attach(lost);
        cluster.group.turn();
        cluster.run();
        assertThat(cluster.group.snapshot().epoch()).isGreaterThan(epoch);
        client.check();
        assertThat(client.finished).isNotNull();
        assertIdle(cluster);
    }

    @Test
    void cutsOffARankThatHangs() {
        FakeCluster cluster = new FakeCluster(limits, 1, 2, 64, 256).serving();
        FakeClient client = FakeClient.of(5, 20);
        cluster.submit(client);
        FakeRank sound = cluster.ranks.getFirst();
        FakeRank hanging = cluster.ranks.get(1);
        while (sound.hasOrders()) {
            cluster.report(sound, sound.run());
        }
        cluster.now += 10 * SECOND - 1;
        cluster.group.turn();
        assertThat(hanging.cut).isNull();
        cluster.now += 1;
        cluster.group.turn();
        assertThat(hanging.cut).hasMessageContaining("not answered in time");
        assertThat(sound.cut).isNull();

        cluster.attach(hanging);
        cluster.group.turn();
        cluster.run();
        client.check();
        assertThat(client.finished).isNotNull();
    }

    @Test
    void findsTheHangingRankWhenItsPeerComplains() {
        FakeCluster cluster = new FakeCluster(limits, 1, 2, 64, 256).serving();
        FakeClient client = FakeClient.of(5, 20);
        cluster.submit(client);
        FakeRank hanging = cluster.ranks.getFirst();
        FakeRank sound = cluster.ranks.get(1);
        cluster.now += 5 * SECOND;
        cluster.report(sound, sound.fail(FailureCause.FAILURE_CAUSE_PEER));
        assertThat(cluster.group.snapshot().serving()).isFalse();
        assertThat(sound.hasOrders())
                .as("a new epoch before it is known who hangs")
                .isFalse();
        cluster.now += 5 * SECOND;
        cluster.group.turn();
        assertThat(hanging.cut).isNotNull();
        assertThat(sound.cut).isNull();
        cluster.attach(hanging);
        cluster.group.turn();
        cluster.run();
        client.check();
        assertThat(client.finished).isNotNull();
    }

    @Test
    void formsAnewWhenAllComplain() {
        FakeCluster cluster = new FakeCluster(limits, 1, 2, 64, 256).serving();
        FakeClient client = FakeClient.of(5, 20);
        cluster.submit(client);
        cluster.ranks.forEach(rank -> cluster.report(rank, rank.fail(FailureCause.FAILURE_CAUSE_PEER)));
        cluster.now += SECOND;
        cluster.group.turn();
        cluster.run();
        client.check();
        assertThat(client.finished).isNotNull();
        assertThat(cluster.ranks).allMatch(rank -> rank.cut == null);
    }

    @Test
    void aRankThatDialsAgainReplacesItself() {
        FakeCluster cluster = new FakeCluster(limits, 1, 2, 64, 256).serving();
        FakeClient client = FakeClient.of(5, 20);
        cluster.submit(client);
        cluster.step();
        FakeRank rank = cluster.ranks.get(1);
        Rank old = rank.attachment;
        RecordingLink second = new RecordingLink();
        rank.attachment = cluster.group.attach(rank.hello().build(), rank.epoch(), second);
        assertThat(rank.cut).hasMessageContaining("replaced");
        // The old stream's end comes late, and changes nothing.
        cluster.group.detach(old, "late");
        cluster.group.turn();
        assertThat(second.orders).hasSize(1);
        assertThat(second.orders.getFirst().hasConfigure()).isTrue();
        assertThat(cluster.group.snapshot().ranksAttached()).isEqualTo(2);
    }

    @Test
    void dropsReportsOfAnOlderEpoch() {
        FakeCluster cluster = new FakeCluster(limits, 1, 2, 64, 256);
        cluster.attachAll();
        FakeRank first = cluster.ranks.getFirst();
        FakeRank second = cluster.ranks.get(1);
        ShardReport readyBefore = first.run();
        cluster.lose(second);
        cluster.attach(second);
        cluster.group.turn();
        cluster.report(second, second.run());
        cluster.report(first, readyBefore);
        assertThat(cluster.group.snapshot().serving()).isFalse();
        cluster.report(first, first.run());
        assertThat(cluster.group.snapshot().serving()).isTrue();

        FakeClient client = FakeClient.of(5, 20);
        cluster.submit(client);
        long old = first.epoch() - 1;
        cluster.group.report(
                first.attachment,
                ShardReport.newBuilder()
                        .setEpoch(old)
                        .setStepDone(StepDone.newBuilder().setNumber(7))
                        .build());
        cluster.group.report(
                first.attachment,
                ShardReport.newBuilder()
                        .setEpoch(old)
                        .setFailure(Failure.newBuilder().setCause(FailureCause.FAILURE_CAUSE_PEER))
                        .build());
        cluster.run();
        client.check();
        assertThat(client.finished).isNotNull();
        assertThat(cluster.group.snapshot().epoch()).isEqualTo(old + 1);
    }

    @Test
    void cutsOffARankThatSamplesWhatWasNotAsked() {
        FakeCluster cluster = new FakeCluster(limits, 1, 1, 64, 256).serving();
        FakeClient client = FakeClient.of(5, 20);
        cluster.submit(client);
        FakeRank rank = cluster.ranks.getFirst();
        StepDone sound = rank.run().getStepDone();
        for (StepDone wrong : List.of(
                sound.toBuilder().clearSampled().build(),
                sound.toBuilder().addSampled(sound.getSampled(0)).build(),
                sound.toBuilder()
                        .setSampled(0, sound.getSampled(0).toBuilder().setSlot(7))
                        .build(),
                sound.toBuilder()
                        .setSampled(
                                0,
                                sound.getSampled(0).toBuilder()
                                        .setToken(Token.newBuilder().setId(FakeModel.VOCABULARY)))
                        .build(),
                sound.toBuilder().setNumber(sound.getNumber() + 1).build())) {
            cluster.report(
                    rank,
                    ShardReport.newBuilder()
                            .setEpoch(rank.epoch())
                            .setStepDone(wrong)
                            .build());
            assertThat(rank.cut).as("after %s", wrong).isNotNull();
            assertThat(client.got).isEmpty();
            cluster.now += 10 * SECOND;
            cluster.attach(rank);
            cluster.group.turn();
            cluster.report(rank, rank.run());
            rank.run();
        }
    }

    @Test
    void failsTheRequestThatBreaksStepsAndNoOther() {
        FakeCluster cluster = new FakeCluster(limits, 1, 1, 64, 256).serving();
        cluster.ranks.getFirst().poison = 999;
        FakeClient poisonous = new FakeClient(new int[] {999, 1, 2}, 10, false, 0, SequenceRequest.NO_DEADLINE);
        List<FakeClient> others = List.of(FakeClient.of(5, 10), FakeClient.of(6, 10), FakeClient.of(7, 10));
        cluster.group.submit(others.get(0).begin());
        cluster.group.submit(poisonous.begin());
        cluster.group.submit(others.get(1).begin());
        cluster.submit(others.get(2));
        for (int attempt = 0; attempt < 10; attempt++) {
            cluster.run();
            cluster.now += 10 * SECOND;
            cluster.group.turn();
        }
        assertThat(poisonous.failed.category()).isEqualTo(ErrorCategory.INTERNAL);
        for (FakeClient client : others) {
            client.check();
            assertThat(client.finished).isNotNull();
        }
        assertIdle(cluster);
    }

    @Test
    void cancelsWithinAStep() {
        FakeCluster cluster = new FakeCluster(limits, 1, 1, 64, 256).serving();
        FakeClient gone = FakeClient.of(20, 100);
        FakeClient stays = FakeClient.of(4, 30);
        cluster.submit(gone);
        cluster.submit(stays);
        for (int i = 0; i < 5; i++) {
            cluster.step();
        }
        int tokens = gone.got.size();
        cluster.cancel(gone);
        assertThat(cluster.group.snapshot().running()).isEqualTo(1);
        int held = cluster.group.snapshot().kvBlocksUsed();
        assertThat(held).isLessThanOrEqualTo(3);
        cluster.run();
        assertThat(gone.got).hasSize(tokens);
        stays.check();
        assertThat(stays.finished).isNotNull();
        assertIdle(cluster);
    }

    @Test
    void cancelsTheSlowReaderAlone() {
        FakeCluster cluster = new FakeCluster(limits, 1, 1, 64, 256).serving();
        FakeClient slow = FakeClient.of(5, 50);
        slow.patience = 10;
        FakeClient other = FakeClient.of(6, 50);
        cluster.submit(slow);
        cluster.submit(other);
        cluster.run();
        assertThat(slow.failed.category()).isEqualTo(ErrorCategory.OVERLOADED);
        assertThat(slow.got).hasSize(10);
        other.check();
        assertThat(other.finished).isNotNull();
        assertIdle(cluster);
    }

    @Test
    void keepsDeadlinesInTheQueueAndAfter() {
        FakeCluster cluster = new FakeCluster(limits(4, 32, 1, 16), 1, 1, 64, 256).serving();
        FakeClient runs = new FakeClient(new int[] {1, 2, 3}, 100, false, 0, 2 * SECOND);
        FakeClient waits = new FakeClient(new int[] {4, 5, 6}, 100, false, 0, SECOND);
        cluster.submit(runs);
        cluster.submit(waits);
        cluster.step();
        assertThat(cluster.group.nanosToNextTurn(Long.MAX_VALUE / 4)).isEqualTo(SECOND);
        cluster.now = SECOND;
        cluster.group.turn();
        assertThat(waits.failed.category()).isEqualTo(ErrorCategory.DEADLINE);
        assertThat(waits.failed).hasMessageContaining("in the queue");
        assertThat(runs.failed).isNull();
        cluster.now = 2 * SECOND;
        cluster.group.turn();
        assertThat(runs.failed.category()).isEqualTo(ErrorCategory.DEADLINE);
        cluster.run();
        assertIdle(cluster);
    }

    @Test
    void refusesWhatCanNeverFit() {
        FakeCluster cluster = new FakeCluster(limits, 1, 1, 8, 256).serving();
        FakeClient tooLong = FakeClient.of(20, 14);
        cluster.submit(tooLong);
        assertThat(tooLong.failed.category()).isEqualTo(ErrorCategory.BAD_INPUT);
        assertThat(tooLong.failed).hasMessageContaining("34 tokens").hasMessageContaining("33 in KV memory");
        // One token less fits: the last one sampled needs no KV.
        FakeClient fits = FakeClient.of(20, 13);
        cluster.submit(fits);
        cluster.run();
        fits.check();
        assertThat(fits.finished).isNotNull();
        assertIdle(cluster);
    }

    @Test
    void withoutALimitGeneratesUpToWhatThereIsRoomFor() {
        // The context ends first.
        FakeCluster roomy = new FakeCluster(limits, 1, 1, 64, 40).serving();
        FakeClient toTheContext = FakeClient.of(5, 0);
        roomy.submit(toTheContext);
        roomy.run();
        assertThat(toTheContext.finished.getGeneratedTokens()).isEqualTo(35);
        // KV memory ends first: 8 blocks of 4, and the last token needs none. Submitted before it is known.
        FakeCluster tight = new FakeCluster(limits, 1, 1, 8, 40);
        tight.attachAll();
        FakeClient toTheBlocks = FakeClient.of(5, 0);
        tight.submit(toTheBlocks);
        tight.run();
        assertThat(toTheBlocks.finished.getGeneratedTokens()).isEqualTo(28);
        assertThat(toTheBlocks.finished.getReason()).isEqualTo(FinishReason.FINISH_REASON_LENGTH);
        assertIdle(tight);
    }

    @Test
    void failsWhatWaitedAndTurnsOutNotToFit() {
        FakeCluster cluster = new FakeCluster(limits, 1, 1, 8, 256);
        cluster.attachAll();
        FakeClient tooLong = FakeClient.of(20, 14);
        FakeClient fits = FakeClient.of(20, 13);
        cluster.submit(tooLong);
        cluster.submit(fits);
        assertThat(tooLong.failed).isNull();
        cluster.run();
        assertThat(tooLong.failed.category()).isEqualTo(ErrorCategory.BAD_INPUT);
        fits.check();
        assertThat(fits.finished).isNotNull();
    }

    @Test
    void refusesWhenTheQueueIsFull() {
        FakeCluster cluster = new FakeCluster(limits(4, 32, 1, 2), 1, 1, 64, 256).serving();
        List<FakeClient> clients =
                IntStream.range(0, 4).mapToObj(n -> FakeClient.of(5, 5)).toList();
        clients.forEach(cluster::submit);
        assertThat(clients.get(3).failed.category()).isEqualTo(ErrorCategory.OVERLOADED);
        assertThat(clients.get(3).retryAfterMillis).isPositive();
        cluster.run();
        assertThat(clients.subList(0, 3)).allMatch(client -> client.finished != null);
    }

    @Test
    void runsByPriorityThenArrival() {
        FakeCluster cluster = new FakeCluster(limits(4, 32, 1, 16), 1, 1, 64, 256).serving();
        FakeClient first = new FakeClient(new int[] {1}, 3, false, 5, SequenceRequest.NO_DEADLINE);
        FakeClient later = new FakeClient(new int[] {2}, 3, false, 5, SequenceRequest.NO_DEADLINE);
        FakeClient urgent = new FakeClient(new int[] {3}, 3, false, 1, SequenceRequest.NO_DEADLINE);
        cluster.submit(first);
        cluster.submit(later);
        cluster.submit(urgent);
        while (urgent.finished == null) {
            assertThat(cluster.step()).isTrue();
            assertThat(later.got).isEmpty();
        }
        assertThat(first.finished).isNotNull();
        cluster.run();
        assertThat(later.finished).isNotNull();
    }

    @Test
    void resumesWhereAnotherSchedulerStopped() {
        FakeCluster cluster = new FakeCluster(limits, 1, 1, 64, 256).serving();
        FakeClient client = FakeClient.of(9, 12);
        cluster.submit(client);
        for (int i = 0; i < 5; i++) {
            cluster.step();
        }
        assertThat(client.got).isNotEmpty();
        cluster.restartScheduler();
        cluster.serving();
        cluster.submit(client);
        cluster.run();
        client.check();
        assertThat(client.finished.getGeneratedTokens()).isEqualTo(12);

        // All tokens were there already: only the end was lost.
        client.finished = null;
        cluster.submit(client);
        assertThat(client.finished.getReason()).isEqualTo(FinishReason.FINISH_REASON_LENGTH);
        assertIdle(cluster);
    }

    @Test
    void drainsWhatRunsAndHandsBackWhatWaits() {
        FakeCluster cluster = new FakeCluster(limits(4, 32, 1, 16), 1, 1, 64, 256).serving();
        FakeClient runs = FakeClient.of(5, 10);
        FakeClient waits = FakeClient.of(5, 10);
        cluster.submit(runs);
        cluster.submit(waits);
        cluster.group.drain();
        cluster.group.turn();
        assertThat(waits.failed.category()).isEqualTo(ErrorCategory.UNAVAILABLE);
        FakeClient late = FakeClient.of(5, 10);
        cluster.submit(late);
        assertThat(late.failed.category()).isEqualTo(ErrorCategory.UNAVAILABLE);
        cluster.run();
        assertThat(runs.finished).isNotNull();
        assertIdle(cluster);
    }

    @Test
    void failsWhatWaitsForWeightsThatCannotBeHad() {
        FakeCluster cluster = new FakeCluster(limits, 1, 1, 64, 256);
        cluster.attachAll();
        FakeClient client = FakeClient.of(5, 10);
        cluster.submit(client);
        FakeRank rank = cluster.ranks.getFirst();
        rank.hello().setLoadedLayerCount(0);
        // The rank obeys, and cannot load.
        rank.run();
        cluster.report(rank, rank.fail(FailureCause.FAILURE_CAUSE_LOAD));
        assertThat(client.failed.category()).isEqualTo(ErrorCategory.UNAVAILABLE);
        cluster.now += 10 * SECOND;
        cluster.group.turn();
        cluster.run();
        FakeClient second = FakeClient.of(5, 10);
        cluster.submit(second);
        cluster.run();
        assertThat(second.finished).isNotNull();
    }

    @Test
    void refusesAGroupThatCanNeverBeConfiguredUntilItsRanksChange() {
        FakeCluster cluster = new FakeCluster(limits, 2, 1, 64, 256);
        cluster.ranks.forEach(rank -> rank.refusal = "too few heads");
        cluster.attachAll();
        FakeClient waited = FakeClient.of(5, 10);
        cluster.submit(waited);
        cluster.step();
        String why = "rank 0 of stage 0 refuses its configuration: too few heads";
        assertThat(waited.failed).hasMessage(why);
        assertThat(waited.failed.category()).isEqualTo(ErrorCategory.UNAVAILABLE);

        // Neither time nor requests have it try again.
        for (int i = 0; i < 100; i++) {
            cluster.now += 10 * SECOND;
            cluster.group.turn();
        }
        FakeClient late = FakeClient.of(5, 10);
        cluster.submit(late);
        assertThat(late.failed).hasMessage(why);
        assertThat(cluster.ranks).noneMatch(FakeRank::hasOrders);
        assertThat(cluster.group.nanosToNextTurn(SECOND)).isEqualTo(SECOND);
        GroupStatus status = cluster.group.snapshot().status(cluster.now);
        assertThat(status.getState()).isEqualTo(GroupState.GROUP_STATE_REFUSED);
        assertThat(status.getRefusal()).isEqualTo(why);
        assertThat(status.getEpoch()).isEqualTo(1);

        // Both are started again, as they should have been: what comes meanwhile waits for them.
        cluster.ranks.forEach(rank -> rank.refusal = null);
        cluster.lose(cluster.ranks.getFirst());
        cluster.lose(cluster.ranks.get(1));
        FakeClient patient = FakeClient.of(5, 10);
        cluster.submit(patient);
        assertThat(patient.failed).isNull();
        cluster.attachAll();
        cluster.now += SECOND;
        cluster.group.turn();
        cluster.run();
        patient.check();
        assertThat(patient.finished).isNotNull();
        assertThat(cluster.group.snapshot().status(cluster.now).getRefusal()).isEmpty();
    }

    @Test
    void refusesAGroupAlsoWhereAPeerIsFasterToComplain() {
        FakeCluster cluster = new FakeCluster(limits, 2, 1, 64, 256);
        FakeRank unfit = cluster.ranks.getFirst();
        unfit.refusal = "x".repeat(10_000);
        cluster.attachAll();
        FakeRank peer = cluster.ranks.get(1);
        peer.run();
        cluster.report(peer, peer.fail(FailureCause.FAILURE_CAUSE_PEER));
        cluster.report(unfit, unfit.run());
        GroupStatus status = cluster.group.snapshot().status(cluster.now);
        assertThat(status.getState()).isEqualTo(GroupState.GROUP_STATE_REFUSED);
        assertThat(status.getRefusal()).as("what has to fit into a trailer").hasSizeBetween(500, 600);
    }

    /// A step that one sequence breaks says nothing of the group.
    @Test
    void badInputOfAStepRefusesNoGroup() {
        FakeCluster cluster = new FakeCluster(limits, 1, 1, 64, 256).serving();
        FakeClient client = FakeClient.of(5, 10);
        cluster.submit(client);
        FakeRank rank = cluster.ranks.getFirst();
        ShardReport failure = rank.fail(FailureCause.FAILURE_CAUSE_STEP);
        cluster.report(
                rank,
                failure.toBuilder()
                        .setFailure(failure.getFailure().toBuilder().setCategory(ErrorCategory.BAD_INPUT.name()))
                        .build());
        cluster.now += SECOND;
        cluster.group.turn();
        cluster.run();
        client.check();
        assertThat(client.finished).isNotNull();
    }

    @Test
    void stagesWorkOnDifferentSequences() {
        FakeCluster cluster = new FakeCluster(limits, 1, 2, 128, 256).serving();
        List<FakeClient> clients =
                IntStream.range(0, 8).mapToObj(n -> FakeClient.of(4, 60)).toList();
        clients.forEach(cluster::submit);
        cluster.run();
        clients.forEach(FakeClient::check);
        FakeRank rank = cluster.ranks.getFirst();
        // All began together; once parted, no step waits for the one before.
        assertThat(rank.dependent).isLessThan(40);
    }

    private static void assertIdle(FakeCluster cluster) {
        GroupSnapshot snapshot = cluster.group.snapshot();
        assertThat(snapshot.running()).isZero();
        assertThat(snapshot.waiting()).isZero();
        assertThat(snapshot.kvBlocksUsed()).isZero();
        cluster.group.checkIntegrity();
    }
}
