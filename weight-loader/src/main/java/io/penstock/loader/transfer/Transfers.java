package io.penstock.loader.transfer;

import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.Tracer;
import io.penstock.loader.cache.CacheDirectory;
import io.penstock.loader.cache.DurableTier;
import io.penstock.loader.cache.Eviction;
import io.penstock.loader.source.RemoteFile;
import io.penstock.loader.source.RemoteHttp;
import io.penstock.loader.source.Retry;
import io.penstock.loader.source.Snapshot;
import io.penstock.loader.source.Source;
import io.penstock.loader.wire.WireClient;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.IntConsumer;

/// All transfers of this node: at most one per file, over one pool of connections.
public final class Transfers implements AutoCloseable {
    private static final Duration LEAVING = Duration.ofMillis(500);

    private final CacheDirectory cache;
    private final RemoteHttp http;
    private final LoaderMetrics metrics;
    private final Tracer tracer;
    private final Eviction eviction;
    private final Dispatcher dispatcher;
    private final PartFetch partFetch;
    private final Tiers tiers;
    /// Guards the next field. Taken before the other lock.
    private final ReentrantLock evicting = new ReentrantLock();

    private int evictions;

    /// Guards the fields below. Taken after a file's own lock, never before it.
    private final ReentrantLock lock = new ReentrantLock();

    /// Somebody no longer needs a file.
    private final Condition left = lock.newCondition();

    private final Map<String, Active> active = new HashMap<>();
    /// How many use a file in place, or are about to close it, by its content.
    private final Map<String, Integer> held = new HashMap<>();

    /// @param users open files, wishes and queued work that need it
    private record Active(FileTransfer transfer, int users) {}

    public Transfers(
            CacheDirectory cache,
            Eviction eviction,
            RemoteHttp http,
            WireClient wire,
            TransferSettings settings,
            LoaderMetrics metrics,
            Tracer tracer,
            Optional<DurableTier> durable) {
        this.cache = cache;
        this.eviction = eviction;
        this.http = http;
        this.metrics = metrics;
        this.tracer = tracer;
        this.dispatcher = new Dispatcher(settings, new Dispatcher.Holding() {
            @Override
            public void retain(FileTransfer transfer) {
                Transfers.this.retain(transfer);
            }

            @Override
            public void release(FileTransfer transfer) {
                Transfers.this.release(transfer);
            }
        });
        this.partFetch = new PartFetch(wire, settings.stallTimeout(), dispatcher.pace());
        this.tiers = new Tiers(cache, eviction, durable, metrics, use());
        metrics.watch(dispatcher::limit, dispatcher::running, wire::bufferBytes);
    }

    /// @param ranges none for the whole file
    public FileWish wish(Snapshot snapshot, RemoteFile file, Source source, List<ByteRange> ranges) {
        List<ByteRange> checked = ByteRange.checked(file.name().value(), ranges, file.size());
        return switch (source.access(snapshot, file)) {
            case Source.Access.OnNode(var path) -> new FileWish.OnNode(file, source.kind(), path, checked, () -> {});
            case Source.Access.OverHttp(var requests) -> {
                Optional<Path> durable = useDurable(snapshot, file);
                if (durable.isPresent()) {
                    checked.forEach(range -> metrics.hit(LoaderMetrics.DURABLE, range.length()));
                    AtomicBoolean held = new AtomicBoolean(true);
                    yield new FileWish.OnNode(file, LoaderMetrics.DURABLE, durable.get(), checked, () -> {
                        if (held.getAndSet(false)) {
                            letGo(file);
                        }
                    });
                }
                yield new FileWish.Cached(open(snapshot, file, requests, source.kind()), checked);
            }
        };
    }

    /// @return where the file lies in the durable tier, held there until [#letGo]; empty where it is not to be used
    ///     there
    private Optional<Path> useDurable(Snapshot snapshot, RemoteFile file) {
        lock.lock();
        try {
            held.merge(file.contentId(), 1, Integer::sum);
        } finally {
            lock.unlock();
        }
        // Only now, when it can no longer be evicted.
        Optional<Path> path = Optional.empty();
        try {
            path = tiers.inPlace(snapshot, file);
            return path;
        } finally {
            if (path.isEmpty()) {
                letGo(file);
            }
        }
    }

    private void letGo(RemoteFile file) {
        lock.lock();
        try {
            held.computeIfPresent(file.contentId(), (_, count) -> count == 1 ? null : count - 1);
            left.signalAll();
        } finally {
            lock.unlock();
        }
    }

    public FileReader reader(Snapshot snapshot, RemoteFile file, Source source) {
        return switch (source.access(snapshot, file)) {
            case Source.Access.OnNode(var path) -> FileReader.OnNode.open(path);
            case Source.Access.OverHttp(var requests)
            when tiers.inPlace(snapshot, file).isPresent() ->
                FileReader.OnNode.open(tiers.inPlace(snapshot, file).get());
            case Source.Access.OverHttp(var requests) ->
                new FileReader.Cached(open(snapshot, file, requests, source.kind()));
        };
    }

    /// Reads again what the cache holds of a file, and forgets what is wrong.
    ///
    /// @param onRead hears how many bytes were read, piece by piece
    /// @return ranges that were wrong, and are no longer present
    public List<ByteRange> verify(Snapshot snapshot, RemoteFile file, Source source, IntConsumer onRead) {
        return switch (source.access(snapshot, file)) {
            case Source.Access.OnNode _ -> List.of();
            case Source.Access.OverHttp(var requests) -> {
                try (OpenFile open = open(snapshot, file, requests, source.kind())) {
                    yield open.transfer().recheck(onRead, eviction.store().all());
                }
            }
        };
    }

    /// Reads again what the durable tier holds of a file; what is wrong is from then on not there.
    ///
    /// @param onRead as of [#verify]
    /// @return ranges that were wrong
    public List<ByteRange> verifyDurable(RemoteFile file, IntConsumer onRead) {
        int pieceSize = cache.pieceSize(file);
        return tiers.recheck(file, onRead).stream()
                .map(piece -> {
                    long offset = (long) piece * pieceSize;
                    return new ByteRange(offset, Math.min(pieceSize, file.size() - offset));
                })
                .toList();
    }

    /// Puts ranges of the durable tier's file right that [#verifyDurable] found wrong, from the fast tier.
    ///
    /// @param ranges that the fast tier has
    /// @return whether that file is whole and right again
    public boolean mendDurable(Snapshot snapshot, RemoteFile file, Source source, List<ByteRange> ranges) {
        return switch (source.access(snapshot, file)) {
            case Source.Access.OnNode _ -> false;
            case Source.Access.OverHttp(var requests) -> {
                try (OpenFile open = open(snapshot, file, requests, source.kind())) {
                    int pieceSize = cache.pieceSize(file);
                    yield tiers.mend(
                            snapshot,
                            open.transfer().blob(),
                            ranges.stream()
                                    .map(range -> Math.toIntExact(range.offset() / pieceSize))
                                    .toList());
                }
            }
        };
    }

    /// Takes a revision out of the cache.
    ///
    /// @return bytes that are free now
    public long evict(Snapshot snapshot) {
        requireWritable();
        try {
            // Those in use for longer are refused below; a call that has just ended lets go on another thread.
            awaitIdle(snapshot, LEAVING);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new PenstockException(ErrorCategory.UNAVAILABLE, e, "the weight-loader is stopping");
        }
        return tiers.evict(snapshot);
    }

    public void requireWritable() {
        if (cache.isReadOnly()) {
            throw new PenstockException(ErrorCategory.BAD_INPUT, "cache %s is read only here", cache.root());
        }
    }

    /// @throws PenstockException OVERLOADED when that cannot be done
    void makeRoom(long bytes) {
        tiers.makeRoom(bytes);
    }

    /// @return how often a full volume has made something go
    int evictions() {
        evicting.lock();
        try {
            return evictions;
        } finally {
            evicting.unlock();
        }
    }

    /// The volume is full in spite of the room that was made.
    ///
    /// @param since what [#evictions] was before the write that failed: of many that fail together, one evicts
    /// @return whether there is more room now
    boolean evictSince(int since) {
        evicting.lock();
        try {
            if (evictions == since && tiers.evictOldest()) {
                evictions++;
            }
            return evictions != since;
        } finally {
            evicting.unlock();
        }
    }

    /// @return whether a file of it is open or on its way
    public boolean isInUse(Snapshot snapshot) {
        lock.lock();
        try {
            return snapshot.files().stream().anyMatch(file -> isInUse(file.contentId()));
        } finally {
            lock.unlock();
        }
    }

    /// Waits until no file of it is open or on its way, and all that follows a transfer is done.
    ///
    /// @return false where that took longer
    boolean awaitIdle(Snapshot snapshot, Duration patience) throws InterruptedException {
        long nanos = patience.toNanos();
        lock.lock();
        try {
            while (isInUse(snapshot)) {
                if (nanos <= 0) {
                    return false;
                }
                nanos = left.awaitNanos(nanos);
            }
            return true;
        } finally {
            lock.unlock();
        }
    }

    private boolean isInUse(String content) {
        return active.containsKey(content) || held.containsKey(content);
    }

    /// Runs the action, unless a file of the revision is in use; none can become so while it runs.
    private boolean ifIdle(Snapshot snapshot, Runnable action) {
        lock.lock();
        try {
            if (isInUse(snapshot)) {
                return false;
            }
            action.run();
            return true;
        } finally {
            lock.unlock();
        }
    }

    private Eviction.Usage use() {
        return new Eviction.Usage() {
            @Override
            public boolean isInUse(Snapshot snapshot) {
                return Transfers.this.isInUse(snapshot);
            }

            @Override
            public boolean ifIdle(Snapshot snapshot, Runnable action) {
                return Transfers.this.ifIdle(snapshot, action);
            }
        };
    }

    Tiers tiers() {
        return tiers;
    }

    /// @return bytes of the file that the durable tier holds
    public long bytesDurable(RemoteFile file) {
        return tiers.bytesDurable(file);
    }

    /// @return bytes of the file that the cache holds
    public long bytesPresent(RemoteFile file) {
        return cache.bytesPresent(file);
    }

    /// @param requests used only where nobody else has the file open
    private OpenFile open(Snapshot snapshot, RemoteFile file, Source.RangeRequests requests, String sourceKind) {
        FileTransfer transfer;
        lock.lock();
        try {
            Active there = active.get(file.contentId());
            transfer = there == null ? new FileTransfer(file, requests, sourceKind, cache, this) : there.transfer();
            active.put(file.contentId(), new Active(transfer, there == null ? 1 : there.users() + 1));
        } finally {
            lock.unlock();
        }
        // Only now, when it can no longer be evicted.
        eviction.store().use(snapshot);
        return new OpenFile(transfer, snapshot, cache, this::release);
    }

    void retain(FileTransfer transfer) {
        lock.lock();
        try {
            active.computeIfPresent(
                    transfer.file().contentId(), (_, there) -> new Active(there.transfer(), there.users() + 1));
        } finally {
            lock.unlock();
        }
    }

    void release(FileTransfer transfer) {
        boolean unused;
        lock.lock();
        try {
            Active others = active.computeIfPresent(
                    transfer.file().contentId(),
                    (_, there) -> there.users() == 1 ? null : new Active(there.transfer(), there.users() - 1));
            unused = others == null;
            if (unused) {
                held.merge(transfer.file().contentId(), 1, Integer::sum);
            }
        } finally {
            lock.unlock();
        }
        if (unused) {
            try {
                transfer.close();
            } finally {
                letGo(transfer.file());
            }
        }
    }

    /// @param source its kind
    Span begin(Snapshot snapshot, RemoteFile file, String source) {
        return tracer.spanBuilder("weights.fetch")
                .setAttribute("penstock.model", snapshot.model())
                .setAttribute("penstock.revision", snapshot.revision())
                .setAttribute("penstock.file", file.name().value())
                .setAttribute("penstock.file.size", file.size())
                .setAttribute("penstock.source", source)
                .setAttribute("penstock.tier", LoaderMetrics.FAST)
                .startSpan();
    }

    Dispatcher dispatcher() {
        return dispatcher;
    }

    PartFetch partFetch() {
        return partFetch;
    }

    Retry retry() {
        return http.retry();
    }

    LoaderMetrics metrics() {
        return metrics;
    }

    /// Stops at once; journals say what has arrived.
    @Override
    public void close() {
        try {
            dispatcher.close();
        } finally {
            tiers.close();
        }
    }
}
