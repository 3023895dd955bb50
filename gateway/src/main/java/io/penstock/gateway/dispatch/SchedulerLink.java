package io.penstock.gateway.dispatch;

import io.grpc.Channel;
import io.grpc.ChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import io.penstock.api.ErrorStatus;
import io.penstock.api.inference.GroupState;
import io.penstock.api.inference.GroupStatus;
import io.penstock.api.inference.InferenceGrpc;
import io.penstock.api.inference.SchedulerStatus;
import io.penstock.api.inference.WatchRequest;
import io.penstock.gateway.config.HostPort;
import io.smallrye.faulttolerance.api.Guard;
import jakarta.enterprise.util.TypeLiteral;
import java.time.Duration;
import java.time.temporal.ChronoUnit;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.jboss.logging.Logger;

/// One scheduler: its channel and what its Watch stream last said. Watches again, for ever, when the stream is lost.
final class SchedulerLink implements AutoCloseable {
    private static final Logger LOG = Logger.getLogger(SchedulerLink.class);

    /// Bytes that may be under way to us on one stream. Small, so that a slow reader's tokens wait at the scheduler.
    private static final int STREAM_WINDOW = 64 << 10;

    private static final Duration FIRST_DELAY = Duration.ofMillis(40);
    private static final Duration LONGEST_DELAY = Duration.ofMillis(250);
    private static final Duration JITTER = Duration.ofMillis(20);

    /// A peer that is gone without a word is found after these two together.
    private static final long PING_SECONDS = 10;

    private static final long PING_ANSWER_SECONDS = 5;

    private final HostPort address;
    private final ManagedChannel channel;
    private final DispatchTimer timer;
    private final Runnable changed;
    private final Guard dialling;
    private final AtomicInteger sequences = new AtomicInteger();
    private volatile SchedulerStatus status = SchedulerStatus.getDefaultInstance();
    private volatile boolean closed;
    // Says a lasting failure once, not at each attempt.
    private volatile String lastFailure = "";

    /// @param changed called after each change of [#status()]
    SchedulerLink(HostPort address, ChannelCredentials credentials, DispatchTimer timer, Runnable changed) {
        this.address = address;
        this.timer = timer;
        this.changed = changed;
        dialling = Guard.create()
                .withDescription("dialling of scheduler " + address)
                .withRetry()
                .maxRetries(-1)
                .maxDuration(0, ChronoUnit.MILLIS)
                .delay(FIRST_DELAY.toMillis(), ChronoUnit.MILLIS)
                .jitter(JITTER.toMillis(), ChronoUnit.MILLIS)
                .whenException(failure -> !closed)
                .withExponentialBackoff()
                .maxDelay(LONGEST_DELAY.toMillis(), ChronoUnit.MILLIS)
                .done()
                .done()
                .build();
        // Callbacks only put events into queues, so they may run where the bytes arrive.
        channel = NettyChannelBuilder.forAddress(address.host(), address.port(), credentials)
                .directExecutor()
                .flowControlWindow(STREAM_WINDOW)
                .keepAliveTime(PING_SECONDS, TimeUnit.SECONDS)
                .keepAliveTimeout(PING_ANSWER_SECONDS, TimeUnit.SECONDS)
                .disableRetry()
                .build();
    }

    Channel channel() {
        return channel;
    }

    /// Without groups while the scheduler is away.
    SchedulerStatus status() {
        return status;
    }

    /// @param revision empty: any
    Optional<GroupStatus> serving(String model, String revision) {
        SchedulerStatus now = status;
        if (now.getDraining()) {
            return Optional.empty();
        }
        return groups(now, model, revision)
                .filter(group -> group.getState() == GroupState.GROUP_STATE_SERVING)
                .findFirst();
    }

    /// The groups of a model, whatever their state.
    ///
    /// @param revision empty: any
    Stream<GroupStatus> groups(String model, String revision) {
        return groups(status, model, revision);
    }

    private static Stream<GroupStatus> groups(SchedulerStatus status, String model, String revision) {
        return status.getGroupsList().stream()
                .filter(group -> group.getModel().equals(model))
                .filter(group -> revision.isEmpty() || group.getRevision().equals(revision));
    }

    /// Sequences there, ours of the last moment included: a status is a tenth of a second old.
    int load(GroupStatus group) {
        return Math.max(group.getSequencesRunning() + group.getSequencesWaiting(), sequences.get());
    }

    void sequenceStarted() {
        sequences.incrementAndGet();
    }

    void sequenceEnded() {
        sequences.decrementAndGet();
    }

    /// Dials until the scheduler answers, with delays that double up to a bound.
    void watch() {
        CompletionStage<Void> _ = dialling.get(this::dial, new TypeLiteral<CompletionStage<Void>>() {});
    }

    /// @return completes when the scheduler has said what it serves
    private CompletionStage<Void> dial() {
        // The channel's own delay grows to two minutes; ours decides when to try.
        channel.resetConnectBackoff();
        Watch watch = new Watch();
        InferenceGrpc.newStub(channel).watch(WatchRequest.getDefaultInstance(), watch);
        return watch.answered;
    }

    private void lost(String why) {
        LOG.infof("scheduler %s is away (%s), dialling again", address, why);
        status = SchedulerStatus.getDefaultInstance();
        changed.run();
        try {
            // Not at once: it may answer and be lost again, and again.
            timer.after(FIRST_DELAY.toNanos(), this::watch);
        } catch (RejectedExecutionException e) {
            LOG.debugf(e, "not dialling %s again: the gateway is stopping", address);
        }
    }

    @Override
    public void close() {
        closed = true;
        channel.shutdownNow();
    }

    private final class Watch implements ClientResponseObserver<WatchRequest, SchedulerStatus> {
        private final CompletableFuture<Void> answered = new CompletableFuture<>();

        @Override
        public void beforeStart(ClientCallStreamObserver<WatchRequest> call) {
            // Statuses are small, rare and only the last counts: no flow control needed.
        }

        @Override
        public void onNext(SchedulerStatus next) {
            lastFailure = "";
            if (status.getGroupsCount() == 0) {
                LOG.infof("scheduler %s is here, %d groups", address, next.getGroupsCount());
            }
            status = next;
            changed.run();
            answered.complete(null);
        }

        @Override
        public void onError(Throwable failure) {
            over(failure);
        }

        @Override
        public void onCompleted() {
            over(new IllegalStateException("it ended its Watch stream"));
        }

        private void over(Throwable why) {
            boolean wasHere = !answered.completeExceptionally(why);
            if (closed) {
                return;
            }
            String failure = ErrorStatus.why(Status.fromThrowable(why));
            if (wasHere) {
                lost(failure);
            } else if (!failure.equals(lastFailure)) {
                LOG.warnf("no scheduler yet at %s (%s), dialling on", address, failure);
                lastFailure = failure;
            }
        }
    }
}
