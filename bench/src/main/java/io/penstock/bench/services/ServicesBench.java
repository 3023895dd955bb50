package io.penstock.bench.services;

import io.penstock.bench.cpu.BareLoop;
import io.penstock.bench.load.StreamedChat;
import io.penstock.bench.load.StreamedChat.WrongStream;
import io.penstock.cli.CommandFailure;
import io.penstock.cli.cluster.ClusterLayout;
import io.penstock.cli.cluster.LocalCluster;
import io.penstock.cli.cluster.RankSettings;
import io.penstock.cli.cluster.ServiceProcess;
import io.penstock.model.checkpoint.Checkpoint;
import io.penstock.model.checkpoint.Checkpoints;
import io.penstock.model.tensor.RankSlice;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.cpu.CpuBackend;
import io.penstock.shard.backend.cpu.CpuOptions;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalInt;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/// `./penstock bench services`: what the services cost. From process start to the first token, and
/// between tokens beside the bare loop of the same backend in the same run.
@Command(
        name = "services",
        description = "Measures what gateway, scheduler and one shard add to the bare CPU backend.",
        mixinStandardHelpOptions = true)
public final class ServicesBench implements Callable<Integer> {
    private static final String MODEL = "measured";
    private static final String QUESTION = "Tell me a long story about a river and the people who live by it.";
    private static final int TOKENS = 200;
    private static final long START_PATIENCE = TimeUnit.MINUTES.toNanos(2);
    /// Each look costs the gateway, which is busy starting, a millisecond or two.
    private static final long POLL = TimeUnit.MILLISECONDS.toNanos(50);

    @Parameters(paramLabel = "MODEL", description = "a GGUF file")
    private Path model;

    @Option(names = "--threads", defaultValue = "1", description = "the shard's threads (default: ${DEFAULT-VALUE})")
    private int threads;

    @Option(names = "--starts", defaultValue = "5", description = "counted starts (default: ${DEFAULT-VALUE})")
    private int starts;

    @Option(names = "--chats", defaultValue = "12", description = "counted chats (default: ${DEFAULT-VALUE})")
    private int chats;

    @Option(names = "--warm-ups", defaultValue = "40", description = "chats before those (default: ${DEFAULT-VALUE})")
    private int warmUps;

    private final Path home = Path.of(System.getProperty("penstock.home", ".")).toAbsolutePath();

    @Override
    public Integer call() throws Exception {
        // The first run records the caches that later ones start from, as every installation has them.
        start(true, chats);
        List<Start> counted = new ArrayList<>();
        for (int i = 0; i < starts; i++) {
            counted.add(start(false, 0));
        }
        if (starts > 0) {
            print(
                    "process start to first token",
                    counted.stream().mapToDouble(Start::seconds).toArray(),
                    "s");
            for (String service : counted.getFirst().processorNanos().keySet()) {
                print(
                        "processor time until then, " + service,
                        counted.stream()
                                .mapToDouble(start -> start.processorNanos().get(service) / 1e9)
                                .toArray(),
                        "s");
            }
        }
        if (chats > 0) {
            compare();
        }
        return 0;
    }

    /// In turns, so that what else the machine does meets both.
    private void compare() throws Exception {
        Checkpoint checkpoint = Checkpoints.open(model);
        Run run = new Run(false);
        try (run;
                CpuBackend backend = new CpuBackend(new CpuOptions(threads, 1L << 30))) {
            backend.load(
                    checkpoint,
                    RankSlice.of(checkpoint.config(), 0, 1, 0, 1),
                    Map.of(model.getFileName().toString(), model),
                    bytes -> {});
            BareLoop loop = new BareLoop(
                    backend,
                    new StepLimits(16, 1, 512, 2_048),
                    checkpoint.config().vocabularySize());
            BareLoop.Load load = BareLoop.Load.parse("tg" + TOKENS + "@45");
            run.firstToken();
            for (int i = 0; i < warmUps; i++) {
                loop.tokensPerSecond(load);
                run.gapMillis();
            }
            double[] bare = new double[chats];
            double[] served = new double[chats];
            double[] ratios = new double[chats];
            Map<String, Long> before = run.processorNanos();
            Map<String, Long> switchesBefore = run.switches();
            long bareNanos = 0;
            for (int i = 0; i < chats; i++) {
                long began = ownNanos();
                bare[i] = 1e3 / loop.tokensPerSecond(load);
                bareNanos += ownNanos() - began;
                served[i] = run.gapMillis();
                ratios[i] = served[i] / bare[i];
            }
            double tokens = (double) chats * TOKENS;
            print("between tokens, bare", bare, "ms");
            print("between tokens, served", served, "ms");
            print("served / bare, pair by pair", ratios, "");
            System.out.printf(
                    Locale.ROOT, "processor time a token: bare loop %.0f us; served:", bareNanos / tokens / 1e3);
            run.processorNanos()
                    .forEach((name, nanos) -> System.out.printf(
                            Locale.ROOT, " %s %.0f us", name, (nanos - before.get(name)) / tokens / 1e3));
            System.out.println();
            System.out.print("threads that waited, a token:");
            run.switches()
                    .forEach((name, count) -> System.out.printf(
                            Locale.ROOT, " %s %.1f", name, (count - switchesBefore.get(name)) / tokens));
            System.out.println();
        } finally {
            run.cluster.removeWork(false);
        }
    }

    private static long ownNanos() {
        return ProcessHandle.current()
                .info()
                .totalCpuDuration()
                .orElse(Duration.ZERO)
                .toNanos();
    }

    /// @param seconds from starting the processes to the first token
    /// @param processorNanos that each service took meanwhile
    private record Start(double seconds, Map<String, Long> processorNanos) {}

    private Start start(boolean record, int further) throws Exception {
        long begin = System.nanoTime();
        Run run = new Run(record);
        try (run) {
            Start first = new Start((run.firstToken() - begin) / 1e9, run.processorNanos());
            for (int i = 0; i < further; i++) {
                run.gapMillis();
            }
            return first;
        } finally {
            run.cluster.removeWork(false);
        }
    }

    private static void print(String what, double[] values, String unit) {
        System.out.printf(
                Locale.ROOT,
                "%s: median %.3f, least %.3f, most %.3f %s of %d%n",
                what,
                median(values),
                Arrays.stream(values).min().orElseThrow(),
                Arrays.stream(values).max().orElseThrow(),
                unit,
                values.length);
    }

    private static double median(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        return sorted[sorted.length / 2];
    }

    /// Gateway, scheduler and one shard as processes.
    private final class Run implements AutoCloseable {
        private final LocalCluster cluster;
        private StreamedChat chat;

        Run(boolean record) throws IOException {
            cluster = new LocalCluster(
                    new ClusterLayout(
                            home,
                            Files.createTempDirectory("penstock-bench-"),
                            MODEL,
                            model.toAbsolutePath(),
                            null,
                            1,
                            1,
                            new RankSettings(
                                    "cpu", List.of(0), Map.of("penstock.shard.threads", String.valueOf(threads))),
                            OptionalInt.empty()),
                    Map.of(),
                    record);
            cluster.startOnLocalCheckpoint();
        }

        /// @return when the first token came, on the monotonic clock
        long firstToken() throws WrongStream {
            long deadline = System.nanoTime() + START_PATIENCE;
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
            chat = new StreamedChat(cluster.gateway(), MODEL, false);
            chat.ask("Hi", 1);
            return System.nanoTime();
        }

        /// @return what each service's process has taken of the processors so far
        Map<String, Long> processorNanos() {
            Map<String, Long> nanos = new LinkedHashMap<>();
            for (ServiceProcess service : cluster.services()) {
                nanos.put(
                        service.name(),
                        ProcessHandle.of(service.pid())
                                .flatMap(process -> process.info().totalCpuDuration())
                                .orElse(Duration.ZERO)
                                .toNanos());
            }
            return nanos;
        }

        /// @return how often a thread of each service's process has waited for another so far: each
        ///     is woken again
        Map<String, Long> switches() throws IOException {
            Map<String, Long> switches = new LinkedHashMap<>();
            for (ServiceProcess service : cluster.services()) {
                long sum = 0;
                try (Stream<Path> threads = Files.list(Path.of("/proc", String.valueOf(service.pid()), "task"))) {
                    for (Path thread : threads.toList()) {
                        sum += switchesOf(thread.resolve("status"));
                    }
                }
                switches.put(service.name(), sum);
            }
            return switches;
        }

        /// @return 0 for a thread that has ended meanwhile
        private static long switchesOf(Path status) throws IOException {
            try (Stream<String> lines = Files.lines(status)) {
                return lines.filter(line -> line.startsWith("voluntary_ctxt_switches:"))
                        .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")))
                        .sum();
            } catch (NoSuchFileException ended) {
                return 0;
            }
        }

        double gapMillis() throws WrongStream {
            return chat.ask(QUESTION, TOKENS).timing().gapMillis();
        }

        @Override
        public void close() {
            cluster.close();
        }
    }
}
