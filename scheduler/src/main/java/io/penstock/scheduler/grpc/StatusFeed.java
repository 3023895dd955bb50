package io.penstock.scheduler.grpc;

import io.grpc.stub.ServerCallStreamObserver;
import io.penstock.api.ErrorStatus;
import io.penstock.api.inference.SchedulerStatus;
import io.penstock.model.ErrorCategory;
import io.penstock.scheduler.group.GroupSnapshot;
import io.penstock.scheduler.group.Groups;
import jakarta.annotation.PreDestroy;
import jakarta.inject.Singleton;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.jboss.logging.Logger;

/// The open `Watch` streams. One thread owns them: it compares ten times a second and tells each watcher
/// that is ready what has changed. A watcher that is not ready misses states, never the last one.
@Singleton
public class StatusFeed {
    private static final Logger LOG = Logger.getLogger(StatusFeed.class);
    private static final int MOST_WATCHERS = 1_024;
    private static final long PERIOD_MILLIS = 100;

    private final Groups groups;
    private final MonotonicClock clock;
    private final List<Watcher> watchers = new ArrayList<>();
    private final ScheduledExecutorService thread = Executors.newSingleThreadScheduledExecutor(
            Thread.ofPlatform().name("status-feed").daemon().factory());

    private static final class Watcher {
        final ServerCallStreamObserver<SchedulerStatus> observer;
        SchedulerStatus last;

        Watcher(ServerCallStreamObserver<SchedulerStatus> observer) {
            this.observer = observer;
        }
    }

    StatusFeed(Groups groups, MonotonicClock clock) {
        this.groups = groups;
        this.clock = clock;
        var _ = thread.scheduleAtFixedRate(this::tell, PERIOD_MILLIS, PERIOD_MILLIS, TimeUnit.MILLISECONDS);
    }

    void watch(ServerCallStreamObserver<SchedulerStatus> observer) {
        Watcher watcher = new Watcher(observer);
        observer.setOnCancelHandler(() -> thread.execute(() -> watchers.remove(watcher)));
        thread.execute(() -> {
            if (watchers.size() >= MOST_WATCHERS) {
                observer.onError(
                        ErrorStatus.toStatus(ErrorCategory.OVERLOADED, MOST_WATCHERS + " streams watch already"));
                return;
            }
            watchers.add(watcher);
            tell(watcher, status());
        });
    }

    /// What this scheduler serves at this moment.
    public SchedulerStatus status() {
        SchedulerStatus.Builder status = SchedulerStatus.newBuilder().setDraining(groups.draining());
        long now = clock.getAsLong();
        for (GroupSnapshot snapshot : groups.snapshots()) {
            status.addGroups(snapshot.status(now));
        }
        return status.build();
    }

    private void tell() {
        try {
            if (!watchers.isEmpty()) {
                SchedulerStatus now = status();
                watchers.removeIf(watcher -> watcher.observer.isCancelled());
                watchers.forEach(watcher -> tell(watcher, now));
            }
        } catch (RuntimeException e) {
            // Thrown on, it would end the feed for good.
            LOG.error("the status feed failed once", e);
        }
    }

    private static void tell(Watcher watcher, SchedulerStatus now) {
        if (watcher.observer.isReady() && !now.equals(watcher.last)) {
            watcher.last = now;
            watcher.observer.onNext(now);
        }
    }

    @PreDestroy
    void close() {
        thread.shutdownNow();
    }
}
