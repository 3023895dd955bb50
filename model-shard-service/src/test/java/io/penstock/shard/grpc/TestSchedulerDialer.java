package io.penstock.shard.grpc;

import static org.assertj.core.api.Assertions.assertThat;

import io.grpc.InsecureChannelCredentials;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.penstock.api.inference.LogitBias;
import io.penstock.api.inference.Sampling;
import io.penstock.api.shard.Admission;
import io.penstock.api.shard.Configure;
import io.penstock.api.shard.FailureCause;
import io.penstock.api.shard.Hello;
import io.penstock.api.shard.Row;
import io.penstock.api.shard.ShardGroupGrpc;
import io.penstock.api.shard.ShardOrder;
import io.penstock.api.shard.ShardReport;
import io.penstock.api.shard.Step;
import io.penstock.shard.RealModel;
import io.penstock.shard.backend.cpu.CpuBackend;
import io.penstock.shard.backend.cpu.CpuOptions;
import io.penstock.shard.config.Endpoint;
import io.penstock.shard.step.RankPlace;
import io.penstock.shard.step.StepLoop;
import io.penstock.shard.step.StepObserver;
import io.penstock.shard.weights.LocalWeights;
import io.penstock.shard.weights.Weights;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/// A rank against real gRPC servers in a scheduler's place.
class TestSchedulerDialer {
    // For a machine that does much else.
    private static final long LIMIT_SECONDS = 60;
    private static final Weights WEIGHTS = LocalWeights.open(RealModel.path(), "r1");
    private final CpuBackend backend = new CpuBackend(new CpuOptions(1, 16 << 20));
    private final StepLoop loop = new StepLoop(
            new RankPlace("g", "m", 0, 1, 0, 1, 4, 32),
            WEIGHTS,
            backend,
            null,
            Duration.ZERO,
            new Silent(),
            new CompletableFuture<Throwable>()::complete);
    private SchedulerDialer dialer;

    @AfterEach
    void close() {
        loop.close();
        if (dialer != null) {
            dialer.close();
        }
        backend.close();
    }

    private void dial(Endpoint... schedulers) {
        RankPlace place = new RankPlace("g", "m", 0, 1, 0, 1, 4, 32);
        dialer = new SchedulerDialer(
                List.of(schedulers),
                InsecureChannelCredentials.create(),
                new Introduction(
                        place, "r1", "i", "h", 0, "cpu", WEIGHTS.checkpoint().config()),
                loop);
        loop.start();
        dialer.start();
    }

    @Test
    void introducesItselfAndServes() throws Exception {
        try (Scheduler scheduler = new Scheduler(0)) {
            dial(scheduler.endpoint());
            Scheduler.Attached attached = scheduler.next();
            Hello hello = attached.report().getHello();
            assertThat(hello.getProtocol()).isEqualTo(1);
            assertThat(hello.getModel()).isEqualTo("m");
            assertThat(hello.getRevision()).isEqualTo("r1");
            assertThat(hello.getShape().getLayers()).isEqualTo(30);
            assertThat(hello.getShape().getVocabularySize()).isEqualTo(49_152);
            assertThat(hello.getShape().getContextLength()).isEqualTo(8_192);
            assertThat(hello.getLoadedLayerCount()).isZero();
            attached.configure(1);
            assertThat(attached.report().getReady().getKvBlocks()).isPositive();
            attached.step(1);
            assertThat(attached.report().getStepDone().getSampledCount()).isEqualTo(1);
        }
    }

    @Test
    void comesBackWithItsWeightsAfterALostStream() throws Exception {
        try (Scheduler scheduler = new Scheduler(0)) {
            dial(scheduler.endpoint());
            Scheduler.Attached first = scheduler.next();
            first.report();
            first.configure(7);
            first.report();
            first.orders.onError(Status.UNAVAILABLE.asRuntimeException());
            Scheduler.Attached second = scheduler.next();
            ShardReport again = second.report();
            assertThat(again.getEpoch()).isEqualTo(7);
            assertThat(again.getHello().getLoadedLayerCount()).isEqualTo(30);
            second.configure(8);
            assertThat(second.report().hasReady()).isTrue();
            second.step(8);
            assertThat(second.report().getStepDone().getSampledCount()).isEqualTo(1);
        }
    }

    @Test
    void waitsForASchedulerThatComesLater() throws Exception {
        int port;
        try (Scheduler free = new Scheduler(0)) {
            port = free.endpoint().port();
        }
        dial(new Endpoint("127.0.0.1", port));
        try (Scheduler late = new Scheduler(port)) {
            assertThat(late.next().report().hasHello()).isTrue();
        }
    }

    @Test
    void turnsToTheNextSchedulerWhenOneIsLost() throws Exception {
        try (Scheduler first = new Scheduler(0);
                Scheduler second = new Scheduler(0)) {
            dial(first.endpoint(), second.endpoint());
            assertThat(first.next().report().hasHello()).isTrue();
            first.stop();
            assertThat(second.next().report().hasHello()).isTrue();
        }
    }

    @Test
    void aRefusalIsTriedAgain() throws Exception {
        try (Scheduler scheduler = new Scheduler(0)) {
            dial(scheduler.endpoint());
            for (int i = 0; i < 3; i++) {
                Scheduler.Attached attached = scheduler.next();
                assertThat(attached.report().hasHello()).isTrue();
                attached.orders.onError(Status.FAILED_PRECONDITION
                        .withDescription("protocol is 1, this scheduler speaks 2")
                        .asRuntimeException());
            }
        }
    }

    /// A thousandth of it on the wire. The rank gives up the stream, not itself.
    @Test
    void anOrderThatUnpacksToMuchMore() throws Exception {
        try (Scheduler scheduler = new Scheduler(0)) {
            dial(scheduler.endpoint());
            Scheduler.Attached first = scheduler.next();
            first.report();
            first.configure(1);
            first.report();
            first.orders.onNext(ShardOrder.newBuilder()
                    .setEpoch(1)
                    .setStep(Step.newBuilder().setNumber(1).setTraceparent("x".repeat(80 << 20)))
                    .build());
            Scheduler.Attached second = scheduler.next();
            assertThat(second.report().getHello().getLoadedLayerCount()).isEqualTo(30);
            serves(second, 2);
        }
    }

    /// None of these is for this rank now. It goes on taking orders, and does none of them.
    @Test
    void ordersThatMeanNothing() throws Exception {
        try (Scheduler scheduler = new Scheduler(0)) {
            dial(scheduler.endpoint());
            Scheduler.Attached attached = scheduler.next();
            attached.report();
            for (int i = 0; i < 100; i++) {
                attached.orders.onNext(ShardOrder.getDefaultInstance());
                attached.step(i);
                attached.step(Long.MIN_VALUE + i);
            }
            serves(attached, 1);
        }
    }

    /// Fields that a client's request could have brought this far, and a scheduler's own.
    @Test
    void stepsThatMustNotReachTheDevice() throws Exception {
        Admission sound = Scheduler.Attached.admission();
        List<Admission> hostile = List.of(
                sound.toBuilder()
                        .setSampling(sound.getSampling().toBuilder().setMinP(Float.NaN))
                        .build(),
                sound.toBuilder()
                        .setSampling(sound.getSampling().toBuilder()
                                .addLogitBias(
                                        LogitBias.newBuilder().setTokenId(1).setBias(Float.NaN)))
                        .build(),
                sound.toBuilder()
                        .setSampling(sound.getSampling().toBuilder()
                                .addAllLogitBias(Collections.nCopies(
                                        100_000,
                                        LogitBias.newBuilder()
                                                .setTokenId(1)
                                                .setBias(1)
                                                .build())))
                        .build(),
                sound.toBuilder().addStopTokenIds(Integer.MAX_VALUE).build(),
                sound.toBuilder().setTopLogprobs(Integer.MAX_VALUE).build(),
                sound.toBuilder().setSlot(Integer.MIN_VALUE).build(),
                sound.toBuilder().setMaxLength(Integer.MAX_VALUE).build(),
                sound.toBuilder().setPromptLength(-1).build());
        try (Scheduler scheduler = new Scheduler(0)) {
            dial(scheduler.endpoint());
            Scheduler.Attached attached = scheduler.next();
            attached.report();
            long epoch = 0;
            for (Admission admission : hostile) {
                attached.configure(++epoch);
                assertThat(attached.report().hasReady()).isTrue();
                attached.step(epoch, admission);
                ShardReport report = attached.report();
                assertThat(report.getFailure().getStep()).as("%s", admission).isEqualTo(1);
                assertThat(report.getFailure().getCause()).isEqualTo(FailureCause.FAILURE_CAUSE_STEP);
            }
            serves(attached, ++epoch);
        }
    }

    private static void serves(Scheduler.Attached attached, long epoch) throws InterruptedException {
        attached.configure(epoch);
        assertThat(attached.report().hasReady()).isTrue();
        attached.step(epoch);
        assertThat(attached.report().getStepDone().getSampledCount()).isEqualTo(1);
    }

    @Test
    void stoppingEndsTheStreamInOrder() throws Exception {
        try (Scheduler scheduler = new Scheduler(0)) {
            dial(scheduler.endpoint());
            Scheduler.Attached attached = scheduler.next();
            attached.report();
            attached.configure(1);
            attached.report();
            loop.close();
            attached.completed.get(LIMIT_SECONDS, TimeUnit.SECONDS);
            dialer.close();
        }
    }

    private static final class Scheduler implements AutoCloseable {
        private final BlockingQueue<Attached> attachments = new LinkedBlockingQueue<>();
        private final Server server;

        Scheduler(int port) throws IOException {
            server = NettyServerBuilder.forAddress(new InetSocketAddress(InetAddress.getLoopbackAddress(), port))
                    .addService(new ShardGroupGrpc.ShardGroupImplBase() {
                        @Override
                        public StreamObserver<ShardReport> attach(StreamObserver<ShardOrder> orders) {
                            Attached attached = new Attached(orders);
                            attachments.add(attached);
                            return attached;
                        }
                    })
                    .build()
                    .start();
        }

        Endpoint endpoint() {
            return new Endpoint("127.0.0.1", server.getPort());
        }

        Attached next() throws InterruptedException {
            Attached attached = attachments.poll(LIMIT_SECONDS, TimeUnit.SECONDS);
            assertThat(attached).as("an attachment").isNotNull();
            return attached;
        }

        void stop() {
            try {
                assertThat(server.shutdownNow().awaitTermination(LIMIT_SECONDS, TimeUnit.SECONDS))
                        .isTrue();
            } catch (InterruptedException e) {
                throw new AssertionError(e);
            }
        }

        @Override
        public void close() {
            stop();
        }

        static final class Attached implements StreamObserver<ShardReport> {
            final ServerCallStreamObserver<ShardOrder> orders;
            final CompletableFuture<Void> completed = new CompletableFuture<>();
            private final BlockingQueue<ShardReport> reports = new LinkedBlockingQueue<>();

            Attached(StreamObserver<ShardOrder> orders) {
                this.orders = (ServerCallStreamObserver<ShardOrder>) orders;
                this.orders.setCompression("gzip");
            }

            ShardReport report() throws InterruptedException {
                ShardReport report;
                do {
                    report = reports.poll(LIMIT_SECONDS, TimeUnit.SECONDS);
                    assertThat(report).as("a report").isNotNull();
                } while (report.hasLoadProgress());
                return report;
            }

            void configure(long epoch) {
                orders.onNext(ShardOrder.newBuilder()
                        .setEpoch(epoch)
                        .setConfigure(Configure.newBuilder()
                                .setLayerCount(30)
                                .setBlockSize(16)
                                .setMaxSequences(4)
                                .setMaxStepTokens(32)
                                .setCollectiveTimeoutMillis(1_000))
                        .build());
            }

            static Admission admission() {
                return Admission.newBuilder()
                        .addTokens(504)
                        .setPromptLength(1)
                        .setMaxLength(8)
                        .setSampling(Sampling.newBuilder().setTopP(1).setRepetitionPenalty(1))
                        .build();
            }

            void step(long epoch) {
                step(epoch, admission());
            }

            void step(long epoch, Admission admission) {
                orders.onNext(ShardOrder.newBuilder()
                        .setEpoch(epoch)
                        .setStep(Step.newBuilder()
                                .setNumber(1)
                                .addAdmissions(admission)
                                .addRows(Row.newBuilder()
                                        .setTokens(1)
                                        .setSamples(true)
                                        .addAppendedBlocks(0)))
                        .build());
            }

            @Override
            public void onNext(ShardReport report) {
                reports.add(report);
            }

            @Override
            public void onError(Throwable failure) {
                completed.completeExceptionally(failure);
            }

            @Override
            public void onCompleted() {
                completed.complete(null);
                orders.onCompleted();
            }
        }
    }

    private static final class Silent implements StepObserver {
        @Override
        public void configured(long epoch, int kvBlocks, int blockSize) {}

        @Override
        public void ended(long epoch) {}

        @Override
        public void stepDone(Step step, int tokens, int sampled, long startNanos, long endNanos, long waitNanos) {}

        @Override
        public void failed(long epoch, long step, String cause, String message) {}
    }
}
