package io.penstock.scheduler.grpc;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.grpc.Status;
import io.opentelemetry.api.trace.Span;
import io.penstock.api.inference.Sampling;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.scheduler.batch.Sequence;
import io.penstock.scheduler.batch.SequenceRequest;
import io.penstock.scheduler.group.FakeCluster;
import io.penstock.scheduler.group.FakeRank;
import io.penstock.scheduler.group.GroupLoop;
import io.penstock.scheduler.group.Groups;
import io.penstock.scheduler.group.RunningRank;
import io.penstock.scheduler.group.ShardGroup;
import io.penstock.scheduler.telemetry.SchedulingEvents;
import io.quarkus.runtime.ShutdownEvent;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/// A rolling upgrade must not cost a stream its end, nor take for ever.
final class TestSchedulerShutdown {
    private final MonotonicClock clock = new MonotonicClock();
    private final OpenStreams open = new OpenStreams();
    private final Groups groups = new Groups(
            name -> new GroupLoop(
                    name,
                    new ShardGroup(name, FakeCluster.limits(16, 64, 8, 8), clock, SchedulingEvents.NONE),
                    clock,
                    8,
                    snapshot -> {},
                    () -> {}),
            clock,
            0);
    private final RunningRank rank =
            new RunningRank(new FakeRank("g", "fake", 0, 1, 0, 1, 100, 1_000), groups.named("g"));

    @AfterEach
    void close() {
        rank.close();
        groups.close();
    }

    private SchedulerShutdown shutdown(Duration limit) {
        return new SchedulerShutdown(groups, open, Optional.of(limit));
    }

    private RecordingObserver generate(int maxTokens) {
        RecordingObserver observer = new RecordingObserver();
        SequenceRequest request = new SequenceRequest(
                "r",
                "fake",
                new int[] {1, 2, 3},
                3,
                Sampling.getDefaultInstance(),
                new int[0],
                maxTokens,
                0,
                -1,
                0,
                SequenceRequest.NO_DEADLINE,
                Map.of());
        groups.named("g").submit(new Sequence(request, new GenerateStream(observer, 5_000, open), Span.getInvalid()));
        return observer;
    }

    @Test
    void anIdleSchedulerStopsAtOnceAndTakesNoMore() throws Exception {
        shutdown(Duration.ofHours(1)).stop(new ShutdownEvent());
        assertThat(groups.draining()).isTrue();
        assertThatThrownBy(() -> groups.pick("fake", ""))
                .isInstanceOfSatisfying(
                        PenstockException.class,
                        refused -> assertThat(refused.category()).isEqualTo(ErrorCategory.UNAVAILABLE));
    }

    @Test
    void whatRunsMayFinish() throws Exception {
        RecordingObserver observer = generate(900);
        assertThat(observer.firstEvent.await(10, TimeUnit.SECONDS)).isTrue();
        shutdown(Duration.ofSeconds(30)).stop(new ShutdownEvent());
        assertThat(observer.completed).isTrue();
        assertThat(observer.events.getLast().getFinished().getGeneratedTokens()).isEqualTo(900);
    }

    @Test
    void whatDoesNotFinishInTimeIsHandedBack() throws Exception {
        RecordingObserver observer = generate(900);
        assertThat(observer.firstEvent.await(10, TimeUnit.SECONDS)).isTrue();
        rank.freeze();
        shutdown(Duration.ofMillis(100)).stop(new ShutdownEvent());
        assertThat(observer.completed).isFalse();
        assertThat(Status.fromThrowable(observer.failure).getCode()).isEqualTo(Status.Code.UNAVAILABLE);
        assertThat(open.open()).isZero();
    }
}
