package io.penstock.shard.grpc;

import io.grpc.ChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import io.netty.channel.EventLoop;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.epoll.Epoll;
import io.netty.channel.epoll.EpollEventLoopGroup;
import io.netty.channel.epoll.EpollSocketChannel;
import io.netty.channel.nio.NioEventLoopGroup;
import io.netty.channel.socket.nio.NioSocketChannel;
import io.netty.util.concurrent.DefaultThreadFactory;
import io.netty.util.concurrent.Future;
import io.penstock.api.Backoff;
import io.penstock.api.ErrorStatus;
import io.penstock.api.shard.ShardGroupGrpc;
import io.penstock.api.shard.ShardOrder;
import io.penstock.api.shard.ShardReport;
import io.penstock.shard.config.Endpoint;
import io.penstock.shard.step.ReportStream;
import io.penstock.shard.step.StepLoop;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.random.RandomGenerator;
import org.jboss.logging.Logger;

/// Keeps this rank attached to a scheduler: dials, introduces the rank, hands orders to the step loop, and
/// dials the next address when the stream ends, whatever ended it. Weights and process outlive all streams.
///
/// What is below is done by one thread; orders go straight from the transport's thread to the loop's queue,
/// and reports are written by the transport's thread, which is woken once a report.
public final class SchedulerDialer implements AutoCloseable {
    private static final Logger LOG = Logger.getLogger(SchedulerDialer.class);
    // Orders that may be on their way to the loop: two steps in flight, a Configure, and some to spare.
    private static final int ORDERS_UNDERWAY = 8;
    // A step may admit many long prompts.
    private static final int MAX_ORDER_BYTES = 64 << 20;
    private static final Duration FIRST_WAIT = Duration.ofMillis(100);
    private static final Duration LONGEST_WAIT = Duration.ofSeconds(2);
    private static final long GOODBYE_MILLIS = 2_000;

    private final EventLoopGroup transport = Epoll.isAvailable()
            ? new EpollEventLoopGroup(1, new DefaultThreadFactory("scheduler-stream", true))
            : new NioEventLoopGroup(1, new DefaultThreadFactory("scheduler-stream", true));
    private final List<Endpoint> schedulers;
    private final ChannelCredentials credentials;
    private final Introduction introduction;
    private final StepLoop loop;
    private final Backoff backoff;
    private final ScheduledExecutorService thread = Executors.newSingleThreadScheduledExecutor(
            Thread.ofPlatform().daemon().name("scheduler-dialer").factory());

    private int next;
    private ManagedChannel channel;
    private Attachment attachment;
    private boolean closed;
    // Says a lasting failure once, not at each attempt.
    private String lastFailure = "";

    public SchedulerDialer(
            List<Endpoint> schedulers, ChannelCredentials credentials, Introduction introduction, StepLoop loop) {
        this.credentials = credentials;
        this.schedulers = List.copyOf(schedulers);
        this.introduction = introduction;
        this.loop = loop;
        backoff = new Backoff(FIRST_WAIT, LONGEST_WAIT, RandomGenerator.getDefault());
    }

    public void start() {
        thread.execute(this::tryDial);
    }

    private void tryDial() {
        if (closed) {
            return;
        }
        try {
            dial();
        } catch (RuntimeException e) {
            LOG.errorf(e, "dialling failed; dialling on");
            dialLater();
        }
    }

    private void dialLater() {
        // Nothing to wait for: the attempt reports for itself.
        var _ = thread.schedule(this::tryDial, backoff.nextNanos(), TimeUnit.NANOSECONDS);
    }

    private void dial() {
        Endpoint scheduler = schedulers.get(next);
        next = (next + 1) % schedulers.size();
        channel = NettyChannelBuilder.forAddress(scheduler.host(), scheduler.port(), credentials)
                .eventLoopGroup(transport)
                .channelType(Epoll.isAvailable() ? EpollSocketChannel.class : NioSocketChannel.class)
                // A stream is dialled again as a whole.
                .disableRetry()
                // Callbacks only add to queues.
                .directExecutor()
                .maxInboundMessageSize(MAX_ORDER_BYTES)
                // The shortest that gRPC allows a client; the scheduler's own is shorter.
                .keepAliveTime(10, TimeUnit.SECONDS)
                .keepAliveTimeout(5, TimeUnit.SECONDS)
                .build();
        attachment = new Attachment(scheduler);
        loop.attached(attachment);
        ShardGroupGrpc.newStub(channel).attach(attachment);
        attachment.send(introduction.hello(loop.obeyedEpoch(), loop.loaded()));
    }

    private void lost(Attachment ended, Status status) {
        if (ended != attachment) {
            return;
        }
        loop.detached(ended);
        channel.shutdownNow();
        if (closed) {
            return;
        }
        String failure = ended.scheduler + ": " + status.getCode() + ": " + ErrorStatus.why(status);
        if (ended.answered) {
            backoff.reset();
            LOG.warnf("lost the scheduler at %s", failure);
        } else if (!failure.equals(lastFailure)) {
            LOG.warnf("no scheduler yet at %s; dialling on", failure);
        }
        lastFailure = ended.answered ? "" : failure;
        dialLater();
    }

    /// Ends the stream, after the loop has ended.
    @Override
    public void close() {
        if (thread.isShutdown()) {
            return;
        }
        thread.execute(() -> {
            closed = true;
            if (channel != null) {
                attachment.complete();
                channel.shutdown();
            }
        });
        thread.shutdown();
        try {
            if (!thread.awaitTermination(GOODBYE_MILLIS, TimeUnit.MILLISECONDS)) {
                thread.shutdownNow();
            }
            if (channel != null && !channel.awaitTermination(GOODBYE_MILLIS, TimeUnit.MILLISECONDS)) {
                channel.shutdownNow();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        Future<?> _ = transport.shutdownGracefully(0, GOODBYE_MILLIS, TimeUnit.MILLISECONDS);
    }

    /// One stream.
    private final class Attachment implements ReportStream, ClientResponseObserver<ShardReport, ShardOrder> {
        private final Endpoint scheduler;
        private final EventLoop loopOfStream = transport.next();
        private volatile boolean answered;
        private final AtomicInteger taken = new AtomicInteger();
        // Guards all below: a stream may also end on another thread than the transport's.
        private final Object lock = new Object();
        private ClientCallStreamObserver<ShardReport> call;
        private boolean over;

        private Attachment(Endpoint scheduler) {
            this.scheduler = scheduler;
        }

        @Override
        public void beforeStart(ClientCallStreamObserver<ShardReport> stream) {
            stream.disableAutoRequestWithInitial(ORDERS_UNDERWAY);
            synchronized (lock) {
                call = stream;
            }
        }

        @Override
        public void send(ShardReport report) {
            onTransport(() -> {
                call.onNext(report);
                requestTaken();
            });
        }

        /// Asks for as many orders with the next report, which follows from nearly every order.
        @Override
        public void orderTaken() {
            if (taken.incrementAndGet() >= ORDERS_UNDERWAY / 2) {
                onTransport(this::requestTaken);
            }
        }

        @Override
        public void complete() {
            onTransport(() -> {
                over = true;
                call.onCompleted();
            });
        }

        private void requestTaken() {
            int count = taken.getAndSet(0);
            if (count > 0) {
                call.request(count);
            }
        }

        /// In the order of the calls. The transport's thread does by itself what it would otherwise be woken
        /// for several times: a frame, its completion, the credit for an order.
        private void onTransport(Runnable action) {
            try {
                loopOfStream.execute(() -> {
                    synchronized (lock) {
                        if (!over) {
                            action.run();
                        }
                    }
                });
            } catch (RejectedExecutionException e) {
                LOG.debugf(e, "nothing is sent to %s any more: the dialer is closed", scheduler);
            }
        }

        @Override
        public void onNext(ShardOrder order) {
            answered = true;
            loop.offer(this, order);
        }

        @Override
        public void onError(Throwable failure) {
            ended(Status.fromThrowable(failure));
        }

        @Override
        public void onCompleted() {
            ended(Status.OK.withDescription("the scheduler ended the stream"));
        }

        private void ended(Status status) {
            synchronized (lock) {
                over = true;
            }
            try {
                thread.execute(() -> lost(this, status));
            } catch (RejectedExecutionException e) {
                LOG.debugf(e, "the stream to %s ended after the dialer", scheduler);
            }
        }
    }
}
