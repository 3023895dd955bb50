package io.penstock.cli.cluster;

import io.penstock.cli.CommandFailure;
import io.penstock.emulator.Credentials;
import io.penstock.emulator.Emulator;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.Stream;

/// All four services as real processes on this machine, and an Object Storage emulator that holds the
/// checkpoint. Used by one thread, which must outlive it (the services die with the thread that started
/// them).
public final class LocalCluster implements AutoCloseable {
    private static final String BUCKET = "models";
    private static final List<String> SMALL_JVM = List.of("-XX:+UseSerialGC", "-Xmx384m", "-XX:TieredStopAtLevel=1");

    private static final String KERNELS = "io.penstock.shard.backend.cpu.Vector*::*";

    private static final Duration STOP_GRACE = Duration.ofSeconds(15);
    private static final Duration RECORDING_GRACE = Duration.ofSeconds(60);

    private final ClusterLayout layout;
    private final Map<String, String> common;
    private final List<String> jvmFlags;
    private final boolean record;
    private final Set<String> recorded = new HashSet<>();
    private final Path logs;
    private final List<ServiceProcess> services = new ArrayList<>();
    private final Map<ServiceProcess, Integer> restarts = new LinkedHashMap<>();
    private Emulator emulator;
    private ServiceProcess gateway;
    private int loaderGrpc;
    private int schedulerGrpc;

    public LocalCluster(ClusterLayout layout) {
        this(layout, Map.of(), false);
    }

    /// Without further flags of the JVMs.
    public LocalCluster(ClusterLayout layout, Map<String, String> common, boolean record) {
        this(layout, common, List.of(), record);
    }

    /// @param common configuration of every service
    /// @param jvmFlags of every service, beside its own
    /// @param record whether each service records, when it ends, a cache that quickens its later starts
    public LocalCluster(ClusterLayout layout, Map<String, String> common, List<String> jvmFlags, boolean record) {
        this.layout = layout;
        this.common = Map.copyOf(common);
        this.jvmFlags = List.copyOf(jvmFlags);
        this.record = record;
        logs = layout.work().resolve("logs");
    }

    /// Starts everything at once; services find each other in whatever order they come up.
    public void start() {
        try {
            Files.createDirectories(logs);
            start(
                    layout.remote() == null
                            ? emulate()
                            : Map.of("source", layout.remote().source()));
        } catch (IOException e) {
            throw new UncheckedIOException("cannot set up " + layout.work(), e);
        }
    }

    /// Starts scheduler, gateway and shards on a checkpoint that each of them reads from this machine's
    /// disk: no weight-loader, no emulator.
    public void startOnLocalCheckpoint() {
        try {
            Files.createDirectories(logs);
        } catch (IOException e) {
            throw new UncheckedIOException("cannot set up " + layout.work(), e);
        }
        start(null);
    }

    /// @param source of the weight-loader; null to do without one
    private void start(Map<String, String> source) {
        Ports ports = new Ports();
        loaderGrpc = ports.near(9083);
        schedulerGrpc = ports.near(9081);
        int gatewayHttp = layout.gatewayPort().isPresent() ? fixed(ports) : ports.near(8080);

        if (source != null) {
            addLoader(ports, source);
        }
        if (layout.remote() != null && layout.remote().sha256().isPresent()) {
            // Nobody may begin to read what is not the file that is meant.
            services.getFirst().start();
            try (LoadWatch watch = watchLoad()) {
                layout.remote().check(watch.describe(layout.model()));
            }
        }
        add(
                "scheduler",
                "scheduler",
                ports.near(8081),
                List.of("-XX:+UseSerialGC", "-Xmx384m"),
                Map.of(
                        "quarkus.grpc.server.host",
                        "127.0.0.1",
                        "quarkus.grpc.server.port",
                        String.valueOf(schedulerGrpc)));

        gateway = add(
                "gateway",
                "gateway",
                gatewayHttp,
                List.of("-XX:+UseSerialGC", "-Xmx512m"),
                Map.of(
                        "quarkus.grpc.server.host",
                        "127.0.0.1",
                        "quarkus.grpc.server.port",
                        String.valueOf(ports.near(9080)),
                        "penstock.gateway.schedulers",
                        "127.0.0.1:" + schedulerGrpc,
                        source == null ? "penstock.gateway.checkpoint" : "penstock.gateway.loader",
                        source == null ? layout.checkpoint().toString() : "127.0.0.1:" + loaderGrpc));

        for (int stage = 0; stage < layout.pipelineParallel(); stage++) {
            for (int rank = 0; rank < layout.tensorParallel(); rank++) {
                addShard(ports, stage, rank, source == null);
            }
        }
        services.stream().filter(service -> !service.alive()).forEach(ServiceProcess::start);
    }

    private void addLoader(Ports ports, Map<String, String> source) {
        Map<String, String> loaderProperties = new LinkedHashMap<>();
        loaderProperties.put("quarkus.grpc.server.host", "127.0.0.1");
        loaderProperties.put("quarkus.grpc.server.port", String.valueOf(loaderGrpc));
        loaderProperties.put(
                "penstock.loader.cache", layout.work().resolve("cache").toString());
        source.forEach((key, value) -> loaderProperties.put(
                key.equals("source")
                        ? "penstock.loader.models.\"%s\".source".formatted(layout.model())
                        : "penstock.loader.oci." + key,
                value));
        add("weight-loader", "weight-loader", ports.near(8083), SMALL_JVM, loaderProperties);
    }

    private int fixed(Ports ports) {
        int port = layout.gatewayPort().getAsInt();
        if (!ports.free(port)) {
            throw new CommandFailure("port %d is taken; choose another with --port, or leave it out", port);
        }
        return port;
    }

    private void addShard(Ports ports, int stage, int rank, boolean localCheckpoint) {
        Map<String, String> properties = new LinkedHashMap<>();
        properties.put("penstock.shard.scheduler", "127.0.0.1:" + schedulerGrpc);
        if (localCheckpoint) {
            properties.put("penstock.shard.checkpoint", layout.checkpoint().toString());
        } else {
            properties.put("penstock.shard.loader", "127.0.0.1:" + loaderGrpc);
        }
        properties.put("penstock.shard.model", layout.model());
        properties.put("penstock.shard.tp-rank", String.valueOf(rank));
        properties.put("penstock.shard.tp-size", String.valueOf(layout.tensorParallel()));
        properties.put("penstock.shard.pp-stage", String.valueOf(stage));
        properties.put("penstock.shard.pp-size", String.valueOf(layout.pipelineParallel()));
        properties.put("penstock.shard.peer-host", "127.0.0.1");
        properties.put(
                "penstock.shard.threads",
                String.valueOf(Math.max(1, Runtime.getRuntime().availableProcessors() / layout.rankCount())));
        properties.putAll(layout.ranks().of(stage * layout.tensorParallel() + rank, layout.rankCount()));
        add(
                layout.rankCount() == 1 ? "shard" : "shard tp%d pp%d".formatted(rank, stage),
                "model-shard-service",
                stage == 0 && rank == 0 ? ports.near(8082) : ports.any(),
                List.of(
                        "--add-modules=jdk.incubator.vector",
                        "--enable-native-access=ALL-UNNAMED",
                        "-XX:+UseSerialGC",
                        "-Xmx1g",
                        // Interpreted, a kernel of vectors is a thousand times slower: better wait for the
                        // compiler.
                        "-XX:CompileCommand=quiet",
                        "-XX:CompileCommand=CompileThresholdScaling," + KERNELS + ",0.2",
                        "-XX:CompileCommand=BackgroundCompilation," + KERNELS + ",false",
                        // A kernel's loops would have it compiled twice more, each time as it is running.
                        "-XX:Tier3BackEdgeThreshold=600000",
                        "-XX:Tier4BackEdgeThreshold=1000000"),
                properties);
    }

    private ServiceProcess add(
            String name, String module, int httpPort, List<String> flags, Map<String, String> properties) {
        Map<String, String> all = new LinkedHashMap<>(common);
        all.putAll(properties);
        List<String> allFlags = new ArrayList<>(flags);
        allFlags.addAll(jvmFlags);
        ServiceProcess service = new ServiceProcess(
                name,
                layout.home().resolve(module).resolve("target/quarkus-app/quarkus-run.jar"),
                logs.resolve(name.replace(' ', '-') + ".log"),
                httpPort,
                allFlags,
                all,
                // One of several ranks is enough to record from.
                record && recorded.add(module));
        services.add(service);
        return service;
    }

    /// @return what the weight-loader must be told of the bucket that now holds the checkpoint
    private Map<String, String> emulate() throws IOException {
        emulator = Emulator.start(Files.createDirectories(layout.work().resolve("bucket")), 0);
        Credentials credentials = Credentials.generate();
        emulator.register(credentials);
        Path config = credentials.writeConfigFile(
                Files.createDirectories(layout.work().resolve("oci")), "local");
        emulator.createBucket(BUCKET);
        try (Stream<Path> files = Files.walk(layout.checkpoint())) {
            Path root = Files.isDirectory(layout.checkpoint())
                    ? layout.checkpoint()
                    : layout.checkpoint().toAbsolutePath().getParent();
            for (Path file : files.filter(Files::isRegularFile).toList()) {
                String name = root.relativize(file.startsWith(root) ? file : file.toAbsolutePath())
                        .toString();
                emulator.putFile(BUCKET, layout.model() + "/" + name, file);
            }
        }
        return Map.of(
                "source", "oci://%s/%s/%s".formatted(Emulator.NAMESPACE, BUCKET, layout.model()),
                "endpoint", emulator.endpoint().toString(),
                "config-file", config.toString());
    }

    public List<ServiceProcess> services() {
        return List.copyOf(services);
    }

    public ServiceProcess service(String name) {
        return services.stream()
                .filter(service -> service.name().equals(name))
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException("no service " + name));
    }

    public URI gateway() {
        return gateway.http();
    }

    public Path logs() {
        return logs;
    }

    public LoadWatch watchLoad() {
        return new LoadWatch(loaderGrpc, schedulerGrpc);
    }

    /// Starts again what has died by itself or by a signal.
    ///
    /// @param onRestart told of each service that was started again
    /// @throws CommandFailure if a service cannot stay up
    public void supervise(Consumer<ServiceProcess> onRestart) {
        for (ServiceProcess service : services) {
            if (!service.alive()) {
                int count = restarts.merge(service, 1, Integer::sum);
                if (count > 20 || (service.exitCode() < 128 && count > 3)) {
                    throw new CommandFailure(
                            "%s ends with exit code %d each time; its log: %s",
                            service.name(), service.exitCode(), service.log());
                }
                service.start();
                onRestart.accept(service);
            }
        }
    }

    /// @return whether the gateway says that a group can serve
    public boolean serving() {
        return gateway.ready();
    }

    /// How long [#close] may take: services end the streams in hand, and write what they recorded.
    public Duration stopPatience() {
        return stopGrace().multipliedBy(2);
    }

    private Duration stopGrace() {
        return record ? RECORDING_GRACE : STOP_GRACE;
    }

    /// Stops every process, the gateway first so that no stream is cut that could have been finished.
    @Override
    public void close() {
        // Null where the start failed before there was one.
        if (gateway != null) {
            gateway.terminate();
        }
        services.forEach(ServiceProcess::terminate);
        // One deadline for all, so that a few that hang cannot outlast the patience with this process.
        long deadline = System.nanoTime() + stopGrace().toNanos();
        services.forEach(service -> service.join(deadline));
        if (emulator != null) {
            emulator.close();
        }
    }

    /// Removes cache, bucket and keys, and the logs too unless someone is to read them.
    public void removeWork(boolean keepLogs) {
        try (Stream<Path> tree = Files.walk(layout.work())) {
            for (Path path : tree.sorted(Comparator.reverseOrder()).toList()) {
                if (!keepLogs || !(path.startsWith(logs) || path.equals(layout.work()))) {
                    Files.delete(path);
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException("cannot remove " + layout.work(), e);
        }
    }
}
