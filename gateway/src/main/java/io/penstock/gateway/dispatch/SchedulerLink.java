package io.penstock.gateway.dispatch;

import io.grpc.Channel;
import io.grpc.ManagedChannel;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import io.penstock.api.inference.GroupState;
import io.penstock.api.inference.GroupStatus;
import io.penstock.api.inference.InferenceGrpc;
import io.penstock.api.inference.SchedulerStatus;
import io.penstock.api.inference.WatchRequest;
import io.penstock.gateway.config.HostPort;
import java.util.Optional;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.jboss.logging.Logger;

/// One scheduler: its channel and what its Watch stream last said. Watches again, for ever, when the stream is lost.
final class SchedulerLink implements AutoCloseable {
    private static final Logger LOG = Logger.getLogger(SchedulerLink.class);

    /// Bytes that may be under way to us on one stream. Small, so that a slow reader's tokens wait at the scheduler.
    private static final int STREAM_WINDOW = 64 << 10;

    /// A peer that is gone without a word is found after these two together.
    private static final long PING_SECONDS = 10;

    private static final long PING_ANSWER_SECONDS = 5;

    private final HostPort address;
    private final ManagedChannel channel;
    private final DispatchTimer timer;
    private final Runnable changed;
    private final Backoff backoff = new Backoff();
    private final AtomicInteger sequences = new AtomicInteger();
    private volatile SchedulerStatus status = SchedulerStatus.getDefaultInstance();
    private volatile boolean closed;

    /// @param changed called after each change of [#status()]
    SchedulerLink(HostPort address, DispatchTimer timer, Runnable changed) {
        this.address = address;
        this.timer = timer;
        this.changed = changed;
        // Callbacks only put events into queues, so they may run where the bytes arrive.
        channel = NettyChannelBuilder.forAddress(address.host(), address.port())
                .usePlaintext()
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
        return now.getGroupsList().stream()
                .filter(group -> group.getState() == GroupState.GROUP_STATE_SERVING)
                .filter(group -> group.getModel().equals(model))
                .filter(group -> revision.isEmpty() || group.getRevision().equals(revision))
                .findFirst();
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

    void watch() {
        // The channel's own delay grows to two minutes; ours decides when to try.
        channel.resetConnectBackoff();
        InferenceGrpc.newStub(channel).watch(WatchRequest.getDefaultInstance(), new Watch());
    }

    private void lost(String why) {
        if (closed) {
            return;
        }
        if (status.getGroupsCount() > 0 || LOG.isDebugEnabled()) {
            LOG.infof("scheduler %s is away (%s), dialling again", address, why);
        }
        status = SchedulerStatus.getDefaultInstance();
        changed.run();
        try {
            timer.after(backoff.nextNanos(), this::watch);
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
        @Override
        public void beforeStart(ClientCallStreamObserver<WatchRequest> call) {
            // Statuses are small, rare and only the last counts: no flow control needed.
        }

        @Override
        public void onNext(SchedulerStatus next) {
            backoff.reset();
            if (status.getGroupsCount() == 0) {
                LOG.infof("scheduler %s is here, %d groups", address, next.getGroupsCount());
            }
            status = next;
            changed.run();
        }

        @Override
        public void onError(Throwable failure) {
            lost(failure.getMessage());
        }

        @Override
        public void onCompleted() {
            lost("it ended its Watch stream");
        }
    }
}
