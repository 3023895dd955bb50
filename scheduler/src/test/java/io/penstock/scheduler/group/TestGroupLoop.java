package io.penstock.scheduler.group;

import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.model.ErrorCategory;
import io.penstock.scheduler.batch.Sequence;
import io.penstock.scheduler.grpc.MonotonicClock;
import io.penstock.scheduler.telemetry.SchedulingEvents;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.LongSupplier;
import org.junit.jupiter.api.Test;

/// A defect met by one request must not silence the scheduler: it either goes on or ends the process.
final class TestGroupLoop {
    private final LongSupplier clock = new MonotonicClock();

    @Test
    void goesOnAfterADefect() throws Exception {
        AtomicBoolean broken = new AtomicBoolean(true);
        SchedulingEvents defect = new SchedulingEvents() {
            @Override
            public void token(Sequence sequence, long gap, long now) {
                if (broken.getAndSet(false)) {
                    throw new IllegalStateException("on purpose");
                }
            }
        };
        try (GroupLoop loop = loop(defect, new CountDownLatch(1));
                RunningRank rank = new RunningRank(new FakeRank("g", "fake", 0, 1, 0, 1, 100, 1_000), loop)) {
            FakeClient first = FakeClient.of(5, 20);
            assertThat(ended(loop, first)).isTrue();
            assertThat(first.failed.category()).isEqualTo(ErrorCategory.INTERNAL);
            FakeClient second = FakeClient.of(5, 20);
            assertThat(ended(loop, second)).isTrue();
            second.check();
            assertThat(second.finished).isNotNull();
            assertThat(loop.alive()).isTrue();
            assertThat(rank).isNotNull();
        }
    }

    @Test
    void endsTheProcessWhenItCannotGoOn() throws Exception {
        CountDownLatch fatal = new CountDownLatch(1);
        SchedulingEvents defect = new SchedulingEvents() {
            @Override
            public void failed(Sequence sequence, ErrorCategory category, long now) {
                throw new IllegalStateException("on purpose");
            }
        };
        try (GroupLoop loop = loop(defect, fatal)) {
            // Nobody is attached: the sequence is refused, and telling so fails again and again.
            loop.submit(FakeClient.of(5, 20).begin());
            loop.submit(FakeClient.of(5, 20).begin());
            loop.execute(group -> {
                throw new AssertionError("not a defect to survive");
            });
            assertThat(fatal.await(10, TimeUnit.SECONDS)).isTrue();
        }
    }

    @Test
    void boundsWhatLiesInTheMailbox() throws Exception {
        try (GroupLoop loop = loop(SchedulingEvents.NONE, new CountDownLatch(1))) {
            CountDownLatch hold = new CountDownLatch(1);
            CountDownLatch held = new CountDownLatch(1);
            Thread holder = Thread.ofVirtual()
                    .start(() -> loop.execute(group -> {
                        held.countDown();
                        try {
                            hold.await();
                        } catch (InterruptedException e) {
                            Thread.currentThread().interrupt();
                        }
                    }));
            assertThat(held.await(10, TimeUnit.SECONDS)).isTrue();
            for (int i = 0; i < 4; i++) {
                assertThat(loop.submit(FakeClient.of(5, 20).begin())).isTrue();
            }
            assertThat(loop.submit(FakeClient.of(5, 20).begin())).isFalse();
            hold.countDown();
            assertThat(holder.join(Duration.ofSeconds(10))).isTrue();
        }
    }

    @Test
    void losesNoCommandThatComesWhileAnotherThreadHasTheGroup() throws Exception {
        int threads = 4;
        int each = 5_000;
        long[] done = new long[1];
        try (GroupLoop loop = loop(SchedulingEvents.NONE, new CountDownLatch(1))) {
            List<Thread> callers = new ArrayList<>();
            for (int i = 0; i < threads; i++) {
                callers.add(Thread.ofPlatform().start(() -> {
                    for (int n = 0; n < each; n++) {
                        // Not atomic: if two threads had the group at a time, some would be lost.
                        loop.execute(group -> done[0]++);
                    }
                }));
            }
            for (Thread caller : callers) {
                assertThat(caller.join(Duration.ofSeconds(30))).isTrue();
            }
            CompletableFuture<Long> seen = new CompletableFuture<>();
            loop.execute(group -> seen.complete(done[0]));
            assertThat(seen.get(10, TimeUnit.SECONDS)).isEqualTo((long) threads * each);
        }
    }

    @Test
    void endsASequenceAtItsDeadlineThoughNobodyCalls() throws Exception {
        CountDownLatch expired = new CountDownLatch(1);
        SchedulingEvents events = new SchedulingEvents() {
            @Override
            public void failed(Sequence sequence, ErrorCategory category, long now) {
                expired.countDown();
            }
        };
        try (GroupLoop loop = loop(events, new CountDownLatch(1));
                RunningRank rank = new RunningRank(new FakeRank("g", "fake", 0, 1, 0, 1, 100, 1_000), loop)) {
            assertThat(ended(loop, FakeClient.of(5, 1))).isTrue();
            rank.freeze();
            long deadline = clock.getAsLong() + TimeUnit.MILLISECONDS.toNanos(200);
            loop.submit(new FakeClient(new int[] {1, 2, 3}, 20, false, 0, deadline).begin());
            assertThat(expired.await(10, TimeUnit.SECONDS)).isTrue();
        }
    }

    private GroupLoop loop(SchedulingEvents events, CountDownLatch fatal) {
        return new GroupLoop(
                "g",
                new ShardGroup("g", FakeCluster.limits(16, 64, 8, 8), clock, events),
                clock,
                4,
                snapshot -> {},
                fatal::countDown);
    }

    private static boolean ended(GroupLoop loop, FakeClient client) throws Exception {
        loop.submit(client.begin());
        for (long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(10); System.nanoTime() < deadline; ) {
            CompletableFuture<Boolean> ended = new CompletableFuture<>();
            loop.execute(group -> ended.complete(client.ended()));
            if (ended.get(10, TimeUnit.SECONDS)) {
                return true;
            }
        }
        return false;
    }
}
