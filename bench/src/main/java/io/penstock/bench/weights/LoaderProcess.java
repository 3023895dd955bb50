package io.penstock.bench.weights;

import io.grpc.ManagedChannel;
import io.grpc.netty.NettyChannelBuilder;
import io.penstock.api.weights.DescribeRequest;
import io.penstock.api.weights.EnsureEvent;
import io.penstock.api.weights.EnsureRequest;
import io.penstock.api.weights.FileRanges;
import io.penstock.api.weights.ModelFiles;
import io.penstock.api.weights.WeightLoaderGrpc;
import java.io.IOException;
import java.net.ServerSocket;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/// The weight-loader as it is deployed, with an empty cache, asked for one model of an emulator over its
/// contract.
final class LoaderProcess implements AutoCloseable {
    private static final String MODEL = "bench";
    private static final double TICKS_PER_SECOND = 100;
    private static final long NANOS_TO_THIRD_SECOND = 2_000_000_000;

    private final Path cache;
    private final URI metrics;
    private final Process process;
    private final ManagedChannel channel;

    /// @param settings keys below `penstock.loader.`, on top of the defaults
    LoaderProcess(Path home, Path folder, URI endpoint, Path config, String source, Map<String, String> settings)
            throws IOException {
        cache = folder.resolve("cache");
        int port = freePort();
        int httpPort = freePort();
        metrics = URI.create("http://127.0.0.1:" + httpPort + "/q/metrics");
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--sun-misc-unsafe-memory-access=allow",
                "-XX:+UseSerialGC",
                "-Xmx384m",
                "-Dquarkus.http.host=127.0.0.1",
                "-Dquarkus.http.port=" + httpPort,
                "-Dquarkus.grpc.server.host=127.0.0.1",
                "-Dquarkus.grpc.server.port=" + port,
                "-Dpenstock.loader.cache=" + cache,
                "-Dpenstock.loader.models.\"" + MODEL + "\".source=" + source,
                "-Dpenstock.loader.oci.endpoint=" + endpoint,
                "-Dpenstock.loader.oci.config-file=" + config));
        settings.forEach((key, value) -> command.add("-Dpenstock.loader." + key + "=" + value));
        command.add("-jar");
        command.add(
                home.resolve("weight-loader/target/quarkus-app/quarkus-run.jar").toString());
        process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(folder.resolve("loader.log").toFile())
                .start();
        channel =
                NettyChannelBuilder.forAddress("127.0.0.1", port).usePlaintext().build();
    }

    private static int freePort() throws IOException {
        try (ServerSocket socket = new ServerSocket(0)) {
            return socket.getLocalPort();
        }
    }

    /// Fetches the whole model. Blocks.
    ///
    /// @param name in the results
    Run fetch(String name) throws IOException {
        return fetch(name, 0, new MemoryWatch(process.pid(), metrics));
    }

    /// How the process's memory is watched.
    MemoryWatch watch() {
        return new MemoryWatch(process.pid(), metrics);
    }

    /// Fetches the whole model, and looks at the process's memory on the way.
    ///
    /// @param lookEvery so many bytes, 0 for never
    Run fetch(String name, long lookEvery, MemoryWatch watch) throws IOException {
        long looked = 0;
        WeightLoaderGrpc.WeightLoaderBlockingStub stub =
                WeightLoaderGrpc.newBlockingStub(channel).withWaitForReady();
        ModelFiles files = stub.withDeadlineAfter(60, TimeUnit.SECONDS)
                .describe(DescribeRequest.newBuilder().setModel(MODEL).build());
        EnsureRequest.Builder request =
                EnsureRequest.newBuilder().setModel(MODEL).setRevision(files.getRevision());
        files.getFilesList()
                .forEach(file -> request.addFiles(FileRanges.newBuilder().setName(file.getName())));
        double cpu = cpuSeconds();
        long begin = System.nanoTime();
        long third = 0;
        long thirdAt = 0;
        long last = 0;
        long lastAt = 0;
        for (Iterator<EnsureEvent> events = stub.ensure(request.build()); events.hasNext(); ) {
            EnsureEvent event = events.next();
            if (event.hasProgress()) {
                last = event.getProgress().getBytesPresent();
                lastAt = System.nanoTime();
                if (lookEvery > 0 && last - looked >= lookEvery) {
                    looked = last;
                    watch.look(last);
                }
                if (thirdAt == 0 && lastAt - begin >= NANOS_TO_THIRD_SECOND) {
                    third = last;
                    thirdAt = lastAt;
                }
            }
        }
        double seconds = (System.nanoTime() - begin) / 1e9;
        double late = thirdAt == 0 || lastAt <= thirdAt ? 0 : (last - third) * 1e9 / (lastAt - thirdAt);
        return new Run(name, last, seconds, cpuSeconds() - cpu, late, peakBytes());
    }

    /// User and system time, from the kernel's own count of ticks.
    private double cpuSeconds() throws IOException {
        String stat = Files.readString(Path.of("/proc", String.valueOf(process.pid()), "stat"));
        // The second field, the name, may hold anything; the third begins after its bracket.
        String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
        return (Long.parseLong(fields[11]) + Long.parseLong(fields[12])) / TICKS_PER_SECOND;
    }

    private long peakBytes() throws IOException {
        for (String line : Files.readAllLines(Path.of("/proc", String.valueOf(process.pid()), "status"))) {
            if (line.startsWith("VmHWM:")) {
                return Long.parseLong(line.replaceAll("\\D", "")) << 10;
            }
        }
        return 0;
    }

    @Override
    public void close() throws IOException {
        channel.shutdownNow();
        process.destroy();
        try {
            if (!process.waitFor(30, TimeUnit.SECONDS)) {
                process.destroyForcibly();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            process.destroyForcibly();
        }
        try (Stream<Path> paths = Files.walk(cache)) {
            for (Path path : paths.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(path);
            }
        }
    }
}
