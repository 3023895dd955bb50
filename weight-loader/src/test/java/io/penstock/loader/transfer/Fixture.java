package io.penstock.loader.transfer;

import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.opentelemetry.api.OpenTelemetry;
import io.opentelemetry.api.trace.Tracer;
import io.penstock.emulator.Credentials;
import io.penstock.emulator.Emulator;
import io.penstock.loader.cache.CacheDirectory;
import io.penstock.loader.cache.DurableTier;
import io.penstock.loader.cache.Eviction;
import io.penstock.loader.cache.SnapshotStore;
import io.penstock.loader.source.FileName;
import io.penstock.loader.source.OciAccount;
import io.penstock.loader.source.OciSource;
import io.penstock.loader.source.RemoteHttp;
import io.penstock.loader.source.Renewable;
import io.penstock.loader.source.Retry;
import io.penstock.loader.source.Snapshot;
import io.penstock.loader.wire.Reach;
import io.penstock.loader.wire.Throttle;
import io.penstock.loader.wire.WireClient;
import io.penstock.model.PenstockException;
import java.io.IOException;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.StandardWatchEventKinds;
import java.nio.file.WatchService;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/// An emulator with one model of one file, and a loader's parts against it with short patience.
final class Fixture implements AutoCloseable {
    static final int PIECE = 1 << 16;
    static final int PART = 4 * PIECE;
    static final int CONNECTIONS = 4;
    static final long MEMORY = 4 << 20;
    static final Duration STALL = Duration.ofMillis(400);
    private static final Duration PATIENCE = Duration.ofSeconds(20);
    static final FileName NAME = new FileName("weights.bin");

    /// One for all tests: making a key takes long.
    private static final Credentials CREDENTIALS = Credentials.generate();

    final Path folder;
    private final long budget;
    final byte[] content;
    final Emulator emulator;
    final Path config;
    final SimpleMeterRegistry registry = new SimpleMeterRegistry();
    private Parts parts;

    /// A loader's parts on one cache.
    record Parts(CacheDirectory cache, RemoteHttp http, WireClient wire, OciSource source, Transfers transfers)
            implements AutoCloseable {
        static Parts of(Path cacheFolder, URI endpoint, Path config, SimpleMeterRegistry registry, long budget) {
            return of(new CacheDirectory(cacheFolder, PIECE), endpoint, config, registry, budget, STALL);
        }

        static Parts of(
                CacheDirectory cache,
                URI endpoint,
                Path config,
                SimpleMeterRegistry registry,
                long budget,
                Duration stallTimeout) {
            return of(
                    cache,
                    endpoint,
                    config,
                    registry,
                    budget,
                    new TransferSettings(PART, PART, Duration.ofSeconds(1), CONNECTIONS, MEMORY, stallTimeout));
        }

        static Parts of(
                CacheDirectory cache,
                URI endpoint,
                Path config,
                SimpleMeterRegistry registry,
                long budget,
                TransferSettings settings) {
            return of(cache, endpoint, config, registry, budget, settings, Optional.empty());
        }

        static Parts of(
                CacheDirectory cache,
                URI endpoint,
                Path config,
                SimpleMeterRegistry registry,
                long budget,
                TransferSettings settings,
                Optional<DurableTier> durable) {
            OciAccount account = OciAccount.read(config, "DEFAULT", Optional.of(endpoint));
            return of(cache, new Renewable<>(() -> account), registry, budget, settings, durable);
        }

        static Parts of(
                CacheDirectory cache,
                Renewable<OciAccount> account,
                SimpleMeterRegistry registry,
                long budget,
                TransferSettings settings,
                Optional<DurableTier> durable) {
            return of(
                    cache,
                    account,
                    registry,
                    budget,
                    settings,
                    durable,
                    OpenTelemetry.noop().getTracer("test"));
        }

        static Parts of(
                CacheDirectory cache,
                Renewable<OciAccount> account,
                SimpleMeterRegistry registry,
                long budget,
                TransferSettings settings,
                Optional<DurableTier> durable,
                Tracer tracer) {
            return of(cache, account, registry, budget, settings, durable, tracer, new Throttle(0));
        }

        static Parts of(
                CacheDirectory cache,
                Renewable<OciAccount> account,
                SimpleMeterRegistry registry,
                long budget,
                TransferSettings settings,
                Optional<DurableTier> durable,
                Tracer tracer,
                Throttle throttle) {
            LoaderMetrics metrics = new LoaderMetrics(registry);
            WireClient wire = new WireClient(2, throttle);
            RemoteHttp http = new RemoteHttp(
                    new Retry(4, Duration.ofMillis(1), Duration.ofMillis(30), metrics::retry), wire, Reach.PUBLIC);
            OciSource source = new OciSource(http, account, Emulator.NAMESPACE, "models", "m");
            Transfers transfers = new Transfers(
                    cache,
                    new Eviction(cache, new SnapshotStore(cache), budget),
                    http,
                    wire,
                    settings,
                    metrics,
                    tracer,
                    durable);
            return new Parts(cache, http, wire, source, transfers);
        }

        @Override
        public void close() {
            transfers.close();
            wire.close();
            http.close();
            cache.close();
        }
    }

    /// @param size of the file in bytes
    Fixture(Path folder, int size) throws IOException {
        this(folder, size, 0);
    }

    /// @param budget of the cache, 0 for none
    Fixture(Path folder, int size, long budget) throws IOException {
        this.folder = folder;
        this.budget = budget;
        content = new byte[size];
        new Random(42).nextBytes(content);
        emulator = Emulator.start(folder.resolve("buckets"), 0);
        emulator.createBucket("models");
        emulator.putFile("models", "m/" + NAME, Files.write(folder.resolve("original"), content));
        emulator.register(CREDENTIALS);
        config = CREDENTIALS.writeConfigFile(folder.resolve("oci"), "x");
        start();
    }

    void start() {
        parts = Parts.of(folder.resolve("cache"), emulator.endpoint(), config, registry, budget);
    }

    void restart() {
        parts.close();
        start();
    }

    /// Ends the loader's parts only.
    void stop() {
        parts.close();
    }

    Parts parts() {
        return parts;
    }

    Snapshot resolve() {
        return parts.source().resolve("m", "");
    }

    FileWish wish(Snapshot snapshot, List<ByteRange> ranges) {
        return parts.transfers().wish(snapshot, snapshot.file(NAME), parts.source(), ranges);
    }

    /// Asks and keeps what is heard.
    Heard ask(Snapshot snapshot, ByteRange... ranges) {
        FileWish wish = wish(snapshot, List.of(ranges));
        Heard heard = new Heard(wish);
        wish.ask(heard);
        return heard;
    }

    Path published(Snapshot snapshot) {
        return folder.resolve("cache/models/m").resolve(snapshot.revision()).resolve("complete/" + NAME);
    }

    /// @return its bytes, once it has its durable name
    byte[] awaitPublished(Snapshot snapshot) throws IOException, InterruptedException {
        return await(published(snapshot));
    }

    /// Publication follows the end that callers hear of.
    static byte[] await(Path file) throws IOException, InterruptedException {
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        while (!Files.exists(file)) {
            awaitNext(file, deadline - System.nanoTime());
        }
        return Files.readAllBytes(file);
    }

    /// Waits until something comes into the innermost folder on the way to a file that is there.
    private static void awaitNext(Path file, long nanos) throws IOException, InterruptedException {
        Path innermost = file.getParent();
        while (!Files.isDirectory(innermost)) {
            innermost = innermost.getParent();
        }
        Path next = innermost.resolve(innermost.relativize(file).getName(0));
        try (WatchService watch = innermost.getFileSystem().newWatchService()) {
            innermost.register(watch, StandardWatchEventKinds.ENTRY_CREATE);
            // It may have come before somebody watched.
            if (!Files.exists(next) && watch.poll(nanos, TimeUnit.NANOSECONDS) == null) {
                throw new AssertionError(file + " has not come");
            }
        }
    }

    /// The last user lets go on another thread, after all that was to follow.
    static void awaitIdle(Parts parts, Snapshot snapshot) throws InterruptedException {
        if (!parts.transfers().awaitIdle(snapshot, PATIENCE)) {
            throw new AssertionError(snapshot + " is still in use");
        }
    }

    void awaitIdle(Snapshot snapshot) throws InterruptedException {
        awaitIdle(parts, snapshot);
    }

    /// Alters one byte of a file.
    static void invert(Path file, long position) throws IOException {
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            ByteBuffer one = ByteBuffer.allocate(1);
            channel.read(one, position);
            channel.write(one.put(0, (byte) ~one.get(0)).flip(), position);
        }
    }

    double count(String counter) {
        return registry.find(counter).counters().stream()
                .mapToDouble(found -> found.count())
                .sum();
    }

    @Override
    public void close() {
        parts.close();
        emulator.close();
    }

    static class Heard implements FileWish.Listener {
        final FileWish wish;
        final List<ByteRange> present = new ArrayList<>();
        final CompletableFuture<Long> end = new CompletableFuture<>();
        /// Something has come.
        final CompletableFuture<Void> begun = new CompletableFuture<>();

        volatile long arrived;

        Heard(FileWish wish) {
            this.wish = wish;
        }

        @Override
        public void present(long offset, long length) {
            present.add(new ByteRange(offset, length));
        }

        @Override
        public void progress(FileWish.Progress progress) {
            arrived = progress.total();
            if (arrived > 0) {
                begun.complete(null);
            }
        }

        @Override
        public void done(long fetched) {
            end.complete(fetched);
        }

        @Override
        public void failed(PenstockException failure) {
            end.completeExceptionally(failure);
        }
    }
}
