package io.penstock.bench.soak;

import io.penstock.bench.load.ClosedLoop;
import io.penstock.cli.CommandFailure;
import io.penstock.cli.cluster.ClusterLayout;
import io.penstock.cli.cluster.LocalCluster;
import io.penstock.cli.cluster.RankSettings;
import io.penstock.cli.cluster.ServiceProcess;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/// `./penstock bench soak`: all four services under load for a while. No stream may be wrong, no
/// process may grow, and nothing may be left behind.
@Command(
        name = "soak",
        mixinStandardHelpOptions = true,
        description = {
            "Starts all services, loads them, and looks at their memory meanwhile.",
            "Exits 1 if a stream was wrong, memory grew, or KV blocks stayed taken."
        })
public final class SoakBench implements Callable<Integer> {
    private static final String MODEL = "soaked";
    private static final Duration START_PATIENCE = Duration.ofMinutes(5);
    private static final Duration IDLE_PATIENCE = Duration.ofSeconds(20);
    private static final long POLL = TimeUnit.MILLISECONDS.toNanos(100);
    private static final List<String> TAKEN =
            List.of("vllm:kv_cache_usage_perc", "vllm:num_requests_running", "vllm:num_requests_waiting");

    @Parameters(paramLabel = "MODEL", description = "a GGUF file or a Hugging Face folder")
    private Path model;

    @Mixin
    private ClosedLoop load;

    @Option(names = "--tp", description = "Tensor-parallel ranks a stage (default: ${DEFAULT-VALUE}).")
    private int tensorParallel = 1;

    @Option(names = "--pp", description = "Pipeline stages (default: ${DEFAULT-VALUE}).")
    private int pipelineParallel = 2;

    @Option(names = "--every", description = "Seconds between looks at memory (default: ${DEFAULT-VALUE}).")
    private int every = 5;

    @Option(names = "--native-memory", description = "Tracks the JVMs' native memory, and writes what each grew by.")
    private boolean nativeMemory;

    @Option(names = "--output", description = "Folder for memory over time (default: ${DEFAULT-VALUE}).")
    private Path output = Path.of("target/soak");

    private final Path home = Path.of(System.getProperty("penstock.home", ".")).toAbsolutePath();
    private final HttpClient http = HttpClient.newHttpClient();

    @Override
    public Integer call() throws Exception {
        Files.createDirectories(output);
        LocalCluster cluster = new LocalCluster(
                new ClusterLayout(
                        home,
                        Files.createTempDirectory("penstock-soak-"),
                        MODEL,
                        model.toAbsolutePath(),
                        null,
                        tensorParallel,
                        pipelineParallel,
                        new RankSettings("cpu", List.of(0), Map.of()),
                        OptionalInt.empty()),
                Map.of(),
                nativeMemory ? List.of("-XX:NativeMemoryTracking=summary") : List.of(),
                false);
        boolean sound = false;
        try (cluster) {
            cluster.start();
            awaitServing(cluster);
            sound = soak(cluster);
        } finally {
            cluster.removeWork(!sound);
        }
        return sound ? 0 : 1;
    }

    private static void awaitServing(LocalCluster cluster) {
        long deadline = System.nanoTime() + START_PATIENCE.toNanos();
        while (!cluster.serving()) {
            for (ServiceProcess service : cluster.services()) {
                if (!service.alive()) {
                    throw new CommandFailure("%s ended; its log: %s", service.name(), service.log());
                }
            }
            if (System.nanoTime() > deadline) {
                throw new CommandFailure("not serving; logs in %s", cluster.logs());
            }
            LockSupport.parkNanos(POLL);
        }
    }

    private boolean soak(LocalCluster cluster) throws IOException, InterruptedException, ExecutionException {
        List<ResidentMemory> memories = new ArrayList<>();
        for (ServiceProcess service : cluster.services()) {
            memories.add(new ResidentMemory(service.name(), service.pid()));
        }
        boolean sound;
        long began = System.nanoTime();
        try (ScheduledExecutorService looks = Executors.newSingleThreadScheduledExecutor()) {
            var looking = looks.scheduleAtFixedRate(() -> look(memories, began), every, every, TimeUnit.SECONDS);
            if (nativeMemory) {
                // Once the first load has gone through everything.
                var _ = looks.schedule(() -> nativeMemory(cluster, "baseline"), 12L * every, TimeUnit.SECONDS);
            }
            sound = load.run(cluster.gateway(), MODEL);
            if (looking.isDone()) {
                // It ends by itself only when a process is gone.
                looking.get();
            }
            looks.shutdownNow();
        }
        for (ResidentMemory memory : memories) {
            System.out.println(memory.line());
            sound &= memory.flat();
            Files.write(output.resolve(memory.name().replace(' ', '-') + ".tsv"), memory.table());
        }
        if (nativeMemory) {
            nativeMemory(cluster, "summary.diff");
        }
        String left = left(cluster);
        System.out.println(left.isEmpty() ? "{\"left\": \"nothing\"}" : "left behind: " + left);
        for (ServiceProcess service : cluster.services()) {
            if (!service.alive()) {
                System.out.printf("%s ended with %d%n", service.name(), service.exitCode());
                sound = false;
            }
        }
        return sound && left.isEmpty();
    }

    private static void look(List<ResidentMemory> memories, long began) {
        try {
            for (ResidentMemory memory : memories) {
                memory.look((System.nanoTime() - began) / 1e9);
            }
        } catch (IOException e) {
            throw new UncheckedIOException("a process is gone", e);
        }
    }

    private void nativeMemory(LocalCluster cluster, String what) {
        for (ServiceProcess service : cluster.services()) {
            try {
                int exit = new ProcessBuilder(
                                Path.of(System.getProperty("java.home"), "bin", "jcmd")
                                        .toString(),
                                String.valueOf(service.pid()),
                                "VM.native_memory",
                                what)
                        .redirectErrorStream(true)
                        .redirectOutput(output.resolve(service.name().replace(' ', '-') + "." + what + ".txt")
                                .toFile())
                        .start()
                        .waitFor();
                if (exit != 0) {
                    System.err.printf("jcmd ended with %d for %s%n", exit, service.name());
                }
            } catch (IOException e) {
                System.err.printf("jcmd could not be run: %s%n", e.getMessage());
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                return;
            }
        }
    }

    /// @return what the scheduler still has in hand once it had time to let it go
    private String left(LocalCluster cluster) throws IOException, InterruptedException {
        long deadline = System.nanoTime() + IDLE_PATIENCE.toNanos();
        while (true) {
            String metrics = http.send(
                            HttpRequest.newBuilder(
                                            cluster.service("scheduler").http().resolve("/q/metrics"))
                                    .build(),
                            HttpResponse.BodyHandlers.ofString())
                    .body();
            List<String> taken = new ArrayList<>();
            for (String name : TAKEN) {
                Matcher gauge = Pattern.compile("(?m)^" + Pattern.quote(name) + "(?:\\{.*?})? (\\S+)$")
                        .matcher(metrics);
                if (!gauge.find()) {
                    throw new CommandFailure("the scheduler has no metric %s", name);
                }
                if (Double.parseDouble(gauge.group(1)) != 0) {
                    taken.add(gauge.group());
                }
            }
            if (taken.isEmpty() || System.nanoTime() > deadline) {
                return String.join(", ", taken);
            }
            LockSupport.parkNanos(POLL);
        }
    }
}
