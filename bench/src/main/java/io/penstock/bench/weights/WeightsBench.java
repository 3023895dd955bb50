package io.penstock.bench.weights;

import io.penstock.emulator.Credentials;
import io.penstock.emulator.Emulator;
import io.penstock.emulator.Link;
import java.io.IOException;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/// `./penstock bench weights`: the weight-loader against aria2c and the OCI Java SDK, all from the same
/// emulator in this process, in turns.
@Command(
        name = "weights",
        description = "Measures the weight-loader on loopback, with aria2c and the OCI SDK in the same run.",
        mixinStandardHelpOptions = true)
public final class WeightsBench implements Callable<Integer> {
    private static final String BUCKET = "bench";
    private static final String OBJECT = "model/weights.bin";
    private static final String SOURCE = "oci://" + Emulator.NAMESPACE + "/" + BUCKET + "/model";
    private static final int SLOW_IN = 20;
    private static final int SLOWER = 20;
    private static final int MEGA = 1_000_000;
    private static final int MARK = 4096;
    private static final int LOOKS = 200;
    private static final long DEFAULT_MEMORY = 256L << 20;
    /// How much the memory may differ between parts of one transfer: a heap's collections come when they come.
    private static final double FLAT = 1.1;

    enum Scenario {
        /// Nothing between: as fast as this machine can.
        FREE,
        /// Many connections of a limited rate each, 5 ms away.
        LIMITED,
        /// The same, and one connection in twenty is twenty times slower.
        SLOW,
        /// A large object: the memory must not grow with it.
        LARGE
    }

    @Parameters(
            arity = "0..*",
            paramLabel = "SCENARIO",
            description = "${COMPLETION-CANDIDATES} (default: FREE LIMITED SLOW)")
    private List<Scenario> scenarios = List.of(Scenario.FREE, Scenario.LIMITED, Scenario.SLOW);

    @Option(names = "--gib", defaultValue = "4", description = "size of the object (default: ${DEFAULT-VALUE})")
    private int gib;

    @Option(names = "--rounds", defaultValue = "2", description = "each peer so often (default: ${DEFAULT-VALUE})")
    private int rounds;

    @Option(names = "--folder", description = "where files go (default: the system's for temporary files)")
    private Path folder;

    @Option(
            names = "--limit",
            defaultValue = "2",
            description =
                    "LIMITED, SLOW: MB/s of a connection (default: ${DEFAULT-VALUE}); all of them together must be"
                            + " what this machine can carry twice, as client and as server")
    private int limit;

    @Option(
            names = "--connections",
            defaultValue = "100",
            description = "LIMITED, SLOW: how many are allowed (default: ${DEFAULT-VALUE})")
    private int connections;

    @Override
    public Integer call() throws IOException {
        Path home = Path.of(System.getProperty("penstock.home", "."));
        Path work =
                folder == null ? Files.createTempDirectory("weights") : Files.createTempDirectory(folder, "weights");
        Credentials credentials = Credentials.generate();
        Path config = credentials.writeConfigFile(work.resolve("oci"), "us-ashburn-1");
        try (Emulator emulator = Emulator.start(work.resolve("buckets"), 0)) {
            emulator.register(credentials);
            emulator.createBucket(BUCKET);
            boolean sparse = scenarios.equals(List.of(Scenario.LARGE));
            put(emulator, work, (long) gib << 30, sparse);
            Bed bed = new Bed(home, work, emulator, config, (long) gib << 30);
            for (Scenario scenario : scenarios) {
                switch (scenario) {
                    case FREE -> free(bed);
                    case LIMITED -> limited(bed);
                    case SLOW -> slow(bed);
                    case LARGE -> large(bed);
                }
            }
        } finally {
            remove(work);
        }
        return 0;
    }

    /// What a scenario works with.
    private record Bed(Path home, Path work, Emulator emulator, Path config, long size) {
        Run loader(String name, Map<String, String> settings) throws IOException {
            try (LoaderProcess loader = new LoaderProcess(home, work, emulator.endpoint(), config, SOURCE, settings)) {
                return loader.fetch(name);
            }
        }
    }

    /// @param sparse leaves holes between marks, so that the object takes no room; no two
    ///     blocks are alike nevertheless
    private static void put(Emulator emulator, Path work, long size, boolean sparse) throws IOException {
        Path original = work.resolve("original");
        byte[] block = new byte[1 << 24];
        SplittableRandom random = new SplittableRandom(1);
        random.nextBytes(block);
        try (FileChannel channel =
                FileChannel.open(original, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            for (long at = 0; at < size; at += block.length) {
                // No two blocks alike, or a wrong place would not be noticed.
                ByteBuffer bytes = ByteBuffer.wrap(block).putLong(0, at);
                if (sparse) {
                    bytes.limit(MARK);
                }
                channel.position(at);
                while (bytes.hasRemaining()) {
                    channel.write(bytes);
                }
            }
            if (sparse) {
                channel.write(ByteBuffer.allocate(1), size - 1);
            }
        }
        emulator.adoptFile(BUCKET, OBJECT, original);
    }

    private void free(Bed bed) throws IOException {
        bed.emulator().link(Link.DIRECT);
        Peers peers = new Peers(bed.work(), bed.size());
        URI object = URI.create(
                bed.emulator().preauthenticate(BUCKET) + "/n/" + Emulator.NAMESPACE + "/b/" + BUCKET + "/o/" + OBJECT);
        say("FREE: %d GiB, nothing between", gib);
        List<Run> runs = new ArrayList<>();
        for (int round = 0; round < rounds; round++) {
            for (int connections : List.of(4, 8, 16)) {
                show(runs, peers.aria2(object, connections));
                show(runs, bed.loader("penstock", Map.of()));
            }
            show(runs, peers.sdk(bed.emulator().endpoint(), bed.config(), BUCKET, OBJECT, 16));
        }
        Run ours = best(runs, "penstock");
        Run aria2 = best(runs, "aria2c");
        Run sdk = best(runs, "OCI SDK");
        say(
                "best: %.2fx of aria2c, %.2fx of the SDK; CPU per GB %.2fx of aria2c's",
                ours.rate() / aria2.rate(), ours.rate() / sdk.rate(), ours.cpuPerGigabyte() / aria2.cpuPerGigabyte());
    }

    private void limited(Bed bed) throws IOException {
        bed.emulator().link(Link.of(Duration.ofMillis(5), (long) limit * MEGA));
        int all = limit * connections;
        say("LIMITED: %d MB/s a connection, %d connections, 5 ms: %d MB/s in all", limit, connections, all);
        for (int round = 0; round < rounds; round++) {
            Run run = bed.loader("penstock", Map.of("transfer.connections", String.valueOf(connections)));
            say("%s = %.0f %% of the limit", run.line(), 100 * run.late() / all / MEGA);
        }
    }

    private void slow(Bed bed) throws IOException {
        long rate = (long) limit * MEGA;
        Map<String, String> settings = Map.of("transfer.connections", String.valueOf(connections));
        say("SLOW: as LIMITED; then one in %d connections %d times slower", SLOW_IN, SLOWER);
        for (int round = 0; round < rounds; round++) {
            bed.emulator().link(Link.of(Duration.ofMillis(5), rate));
            Run even = bed.loader("penstock, none slow", settings);
            say("%s", even.line());
            bed.emulator()
                    .link(new Link(
                            Duration.ofMillis(5), connection -> connection % SLOW_IN == 3 ? rate / SLOWER : rate));
            Run uneven = bed.loader("penstock, 1 in 20 slow", settings);
            say("%s = %.2fx of none slow", uneven.line(), uneven.seconds() / even.seconds());
        }
    }

    private void large(Bed bed) throws IOException {
        bed.emulator().link(Link.DIRECT);
        say("LARGE: %d GiB, buffers of connections within the default %d MiB", gib, DEFAULT_MEMORY >> 20);
        try (LoaderProcess loader =
                new LoaderProcess(bed.home(), bed.work(), bed.emulator().endpoint(), bed.config(), SOURCE, Map.of())) {
            MemoryWatch watch = loader.watch();
            say("%s", loader.fetch("penstock", bed.size() / LOOKS, watch).line());
            say("%s", watch.lines());
            if (watch.peakBuffers() > DEFAULT_MEMORY || watch.growth() > FLAT) {
                throw new IllegalStateException("the memory is not bounded or not flat");
            }
        }
    }

    private static Run best(List<Run> runs, String peer) {
        return runs.stream()
                .filter(run -> run.peer().startsWith(peer))
                .min(Comparator.comparingDouble(Run::seconds))
                .orElseThrow();
    }

    private static void show(List<Run> runs, Run run) {
        runs.add(run);
        say("%s", run.line());
    }

    @com.google.errorprone.annotations.FormatMethod
    private static void say(@com.google.errorprone.annotations.FormatString String format, Object... arguments) {
        System.out.println(String.format(Locale.ROOT, format, arguments));
    }

    private static void remove(Path work) throws IOException {
        try (Stream<Path> paths = Files.walk(work)) {
            for (Path path : paths.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(path);
            }
        }
    }
}
