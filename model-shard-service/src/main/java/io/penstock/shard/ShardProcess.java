package io.penstock.shard;

import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.ManagedChannel;
import io.micrometer.core.instrument.MeterRegistry;
import io.opentelemetry.api.OpenTelemetry;
import io.penstock.api.MutualTls;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.shard.backend.Backend;
import io.penstock.shard.backend.Backends;
import io.penstock.shard.backend.cpu.CpuOptions;
import io.penstock.shard.backend.cuda.CudaOptions;
import io.penstock.shard.collective.tcp.PeerListener;
import io.penstock.shard.config.Endpoint;
import io.penstock.shard.config.ShardConfig;
import io.penstock.shard.grpc.Introduction;
import io.penstock.shard.grpc.SchedulerDialer;
import io.penstock.shard.step.RankPlace;
import io.penstock.shard.step.StepLoop;
import io.penstock.shard.telemetry.StepTelemetry;
import io.penstock.shard.weights.LoaderWeights;
import io.penstock.shard.weights.LocalWeights;
import io.penstock.shard.weights.Weights;
import io.quarkus.runtime.Quarkus;
import io.quarkus.runtime.ShutdownEvent;
import io.quarkus.runtime.StartupEvent;
import jakarta.enterprise.event.Observes;
import jakarta.inject.Singleton;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.eclipse.microprofile.config.inject.ConfigProperty;
import org.jboss.logging.Logger;

/// The life of a shard process: reads the checkpoint's heads, opens the device, listens for peers, attaches
/// to a scheduler. Other services may come later than this one: it waits for them. What cannot get better by
/// waiting ends the process with one line that says why.
@Singleton
public class ShardProcess {
    private static final Logger LOG = Logger.getLogger(ShardProcess.class);
    private static final int FATAL = 1;
    private static final int SPIN_MICROS = 20;
    private static final long LOADER_RETRY_MILLIS = 500;
    private static final long HALT_SECONDS = 20;
    private static final int MAX_LOADER_MESSAGE = 16 << 20;

    private final ShardConfig config;
    private final MeterRegistry registry;
    private final OpenTelemetry telemetry;

    private final CountDownLatch stopped = new CountDownLatch(1);
    // Closed in the reverse of the order they were opened in. Guarded by itself.
    private final Deque<AutoCloseable> open = new ArrayDeque<>();
    private volatile StepLoop loop;

    /// @param spansOff whether nobody collects spans: the SDK would make them all the same
    ShardProcess(
            ShardConfig config,
            MeterRegistry registry,
            OpenTelemetry telemetry,
            @ConfigProperty(name = "quarkus.otel.sdk.disabled") boolean spansOff) {
        this.config = config;
        this.registry = registry;
        this.telemetry = spansOff ? OpenTelemetry.noop() : telemetry;
    }

    /// Empty until the weights' heads are read and the device is open.
    public Optional<StepLoop> loop() {
        return Optional.ofNullable(loop);
    }

    void start(@Observes StartupEvent event) {
        Thread.ofPlatform().name("shard-start").daemon().start(this::bringUp);
    }

    private void bringUp() {
        try {
            RankPlace place = new RankPlace(
                    config.group(),
                    config.model(),
                    RankPlace.tpRank(config.rank(), config.tpSize()).orElse(config.tpRank()),
                    config.tpSize(),
                    RankPlace.ppStage(config.rank(), config.tpSize()).orElse(config.ppStage()),
                    config.ppSize(),
                    config.maxSequences(),
                    config.maxStepTokens());
            List<Endpoint> schedulers = Endpoint.parseAll("penstock.shard.scheduler", config.scheduler());
            ChannelCredentials credentials = MutualTls.dialling(config.tls());
            Weights weights = weights(credentials);
            Backend backend = opened(backend());
            String instance = UUID.randomUUID().toString();
            PeerListener listener = place.ranks() == 1
                    ? null
                    : opened(PeerListener.bind(
                            config.peerBind().orElse(config.peerHost()), config.peerPort(), instance));
            StepLoop stepLoop = new StepLoop(
                    place,
                    weights,
                    backend,
                    listener,
                    spin(place),
                    new StepTelemetry(place, registry, telemetry),
                    ShardProcess::end);
            SchedulerDialer dialer = new SchedulerDialer(
                    schedulers,
                    credentials,
                    new Introduction(
                            place,
                            weights.revision(),
                            instance,
                            config.peerHost(),
                            listener == null ? 0 : listener.port(),
                            backend.device(),
                            weights.checkpoint().config()),
                    stepLoop);
            opened(dialer);
            // After the dialer in this list, so before it in closing: the last report needs the stream.
            opened(stepLoop);
            loop = stepLoop;
            stepLoop.start();
            dialer.start();
            LOG.infof("%s of %s %s on %s", place, place.model(), weights.revision(), backend.device());
        } catch (InterruptedException e) {
            LOG.debugf(e, "stopped while starting");
        } catch (RuntimeException | Error e) {
            end(e);
        }
    }

    // Measured, 2 ranks on 2 busy processors, a sum of 576 floats: 17 us without spinning, 37 us with 20 us
    // of it.
    private Duration spin(RankPlace place) {
        boolean spare = Runtime.getRuntime().availableProcessors() >= 4 * place.ranks();
        return Duration.ofNanos(1_000L * config.peerSpinMicros().orElse(spare ? SPIN_MICROS : 0));
    }

    private Backend backend() {
        int threads = config.threads().orElse(Runtime.getRuntime().availableProcessors());
        return Backends.open(
                config.backend(),
                new CpuOptions(threads, config.kvMemory().asLongValue()),
                new CudaOptions(
                        config.device(),
                        config.gpuMemoryShare(),
                        CudaOptions.Computing.of(config.gpuDeterministic(), config.gpuActivations(), config.gpuKv()),
                        config.gpuMeeting(),
                        CudaOptions.formats(config.gpuWeights(), config.gpuOutputWeights())));
    }

    private Weights weights(ChannelCredentials credentials) throws InterruptedException {
        if (config.checkpoint().isPresent()) {
            return LocalWeights.open(
                    config.checkpoint().get(), config.revision().orElse("local"));
        }
        Endpoint loader = Endpoint.parse("penstock.shard.loader", config.loader());
        ManagedChannel channel = Grpc.newChannelBuilderForAddress(loader.host(), loader.port(), credentials)
                .maxInboundMessageSize(MAX_LOADER_MESSAGE)
                .build();
        opened(channel::shutdownNow);
        boolean said = false;
        while (true) {
            try {
                return LoaderWeights.open(
                        channel, config.model(), config.revision().orElse(""));
            } catch (PenstockException e) {
                if (!passes(e.category())) {
                    throw e;
                }
                if (!said) {
                    LOG.warnf("no weights yet from the weight-loader at %s: %s; trying on", loader, e.getMessage());
                    said = true;
                }
            }
            channel.resetConnectBackoff();
            if (stopped.await(LOADER_RETRY_MILLIS, TimeUnit.MILLISECONDS)) {
                throw new InterruptedException("the process is stopping");
            }
        }
    }

    private static boolean passes(ErrorCategory category) {
        return switch (category) {
            case UNAVAILABLE, OVERLOADED, DEADLINE -> true;
            case BAD_INPUT, NOT_FOUND, CORRUPT, INTERNAL -> false;
        };
    }

    private <T extends AutoCloseable> T opened(T resource) throws InterruptedException {
        synchronized (open) {
            if (stopped.getCount() == 0) {
                close(resource);
                throw new InterruptedException("the process is stopping");
            }
            open.push(resource);
        }
        return resource;
    }

    /// Ends the process, with one line that says why.
    private static void end(Throwable reason) {
        String category =
                reason instanceof PenstockException known ? known.category().name() : ErrorCategory.INTERNAL.name();
        if (reason instanceof PenstockException || reason instanceof IllegalArgumentException) {
            LOG.fatalf("fatal: category=%s reason=%s", category, reason.getMessage());
        } else {
            LOG.fatalf(reason, "fatal: category=%s reason=%s", category, reason);
        }
        // A device that hangs may hang the way out, too.
        Thread.ofPlatform().name("halt").daemon().start(() -> {
            try {
                TimeUnit.SECONDS.sleep(HALT_SECONDS);
                Runtime.getRuntime().halt(FATAL);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        });
        Quarkus.asyncExit(FATAL);
    }

    void stop(@Observes ShutdownEvent event) {
        Deque<AutoCloseable> closing;
        synchronized (open) {
            stopped.countDown();
            closing = new ArrayDeque<>(open);
            open.clear();
        }
        closing.forEach(ShardProcess::close);
    }

    private static void close(AutoCloseable resource) {
        try {
            resource.close();
        } catch (Exception e) {
            LOG.warnf(e, "closing %s failed", resource);
        }
    }
}
