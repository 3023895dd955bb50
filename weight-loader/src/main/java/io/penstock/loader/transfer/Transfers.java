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
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.PriorityQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.IntConsumer;

/// All transfers of this node: at most one per file, over one pool of connections.
public final class Transfers implements AutoCloseable {
    private static final Logger LOG = System.getLogger(Transfers.class.getName());
    private static final long TICK_MILLIS = 200;
    private static final long CLOSE_SECONDS = 10;

    private final CacheDirectory cache;
    private final RemoteHttp http;
    private final TransferSettings settings;
    private final LoaderMetrics metrics;
    private final Tracer tracer;
    private final Eviction eviction;
    private final Pace pace = new Pace();
    private final Parallelism parallelism;
    private final PartFetch partFetch;
    private final Tiers tiers;
    private final ExecutorService threads = Executors.newThreadPerTaskExecutor(
            Thread.ofVirtual().name("transfer-", 0).factory());
    private final ScheduledExecutorService clock = Executors.newSingleThreadScheduledExecutor(
            Thread.ofPlatform().name("transfer-pace").daemon().factory());
    private final ScheduledFuture<?> ticking;

    /// Guards the next field. Taken before the other lock.
    private final ReentrantLock evicting = new ReentrantLock();

    private int evictions;

    /// Guards the fields below. Taken after a file's own lock, never before it.
    private final ReentrantLock lock = new ReentrantLock();

    private final Map<String, Active> active = new HashMap<>();
    /// How many use a file in place, by its content.
    private final Map<String, Integer> inPlace = new HashMap<>();

    private final PriorityQueue<Work> queue = new PriorityQueue<>();
    private long submitted;
    private int running;
    /// Work that is out of the queue only while its next part is cut.
    private int cutting;
    private boolean starved;
    private boolean closed;

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
        this.settings = settings;
        this.metrics = metrics;
        this.tracer = tracer;
        this.parallelism = new Parallelism(settings.parallel());
        this.partFetch = new PartFetch(wire, settings.stallTimeout(), pace);
        this.tiers = new Tiers(cache, eviction, durable, metrics, use());
        metrics.watch(parallelism::limit, this::running, wire::bufferBytes);
        ticking = clock.scheduleWithFixedDelay(this::tick, TICK_MILLIS, TICK_MILLIS, TimeUnit.MILLISECONDS);
    }

    /// A wish whose missing pieces are still to be cut into parts: urgent ones first, then in the order of
    /// submission.
    private record Work(boolean urgent, long order, FileTransfer transfer, Asking asking) implements Comparable<Work> {
        @Override
        public int compareTo(Work other) {
            int byUrgency = Boolean.compare(other.urgent, urgent);
            return byUrgency != 0 ? byUrgency : Long.compare(order, other.order);
        }
    }

    private void tick() {
        try {
            boolean saturated;
            lock.lock();
            try {
                // Where work is left, as much runs as may: see dispatch.
                saturated = !starved && (!queue.isEmpty() || cutting > 0);
                starved = false;
            } finally {
                lock.unlock();
            }
            parallelism.tick(pace.tick(), saturated);
            dispatch();
        } catch (RuntimeException e) {
            // The clock would stop without a word.
            LOG.log(Level.ERROR, "the pace of transfers is not adapted", e);
        }
    }

    /// Queues what a wish lacks. Under the file's lock.
    void submit(FileTransfer transfer, Asking asking) {
        retain(transfer);
        lock.lock();
        try {
            queue.add(new Work(asking.isUrgent(), submitted++, transfer, asking));
        } finally {
            lock.unlock();
        }
        dispatch();
    }

    /// Starts as many GETs as may run. Each cuts its own part when it begins, so that parts have the
    /// size that is right by then; what is left goes back to its place in the queue first.
    private void dispatch() {
        lock.lock();
        try {
            while (!closed && running < parallelism.limit() && !queue.isEmpty()) {
                Work work = queue.remove();
                running++;
                cutting++;
                threads.execute(() -> run(work));
            }
            starved |= queue.isEmpty() && cutting == 0;
        } finally {
            lock.unlock();
        }
    }

    private void run(Work work) {
        FileTransfer transfer = work.transfer();
        try {
            Optional<FileTransfer.Part> part = Optional.empty();
            try {
                part = transfer.cut(work.asking());
                if (part.isPresent()) {
                    retain(transfer);
                }
            } finally {
                wasCut(work, part.isPresent());
            }
            if (part.isPresent()) {
                try {
                    transfer.fetch(part.get(), work.asking());
                } finally {
                    release(transfer);
                }
            } else {
                release(transfer);
            }
        } finally {
            finished();
        }
    }

    private void finished() {
        lock.lock();
        try {
            running--;
        } finally {
            lock.unlock();
        }
        dispatch();
    }

    private void wasCut(Work work, boolean mayHaveMore) {
        lock.lock();
        try {
            cutting--;
            if (mayHaveMore) {
                queue.add(work);
            }
        } finally {
            lock.unlock();
        }
        dispatch();
    }

    /// Runs something that is no GET, soon.
    void execute(FileTransfer transfer, Runnable body) {
        retain(transfer);
        threads.execute(() -> {
            try {
                body.run();
            } finally {
                release(transfer);
            }
        });
    }

    private int running() {
        lock.lock();
        try {
            return running;
        } finally {
            lock.unlock();
        }
    }

    /// A file of a revision, opened in the cache, shared with whoever else has it open.
    public final class OpenFile implements AutoCloseable {
        private final FileTransfer transfer;
        private final Snapshot snapshot;
        /// Guards the fields below; taken before the transfer's own lock.
        private final ReentrantLock mine = new ReentrantLock();

        private final List<Asking> askings = new ArrayList<>();
        private boolean closed;

        private OpenFile(FileTransfer transfer, Snapshot snapshot) {
            this.transfer = transfer;
            this.snapshot = snapshot;
        }

        public RemoteFile file() {
            return transfer.file();
        }

        /// @return whether all of it is here, verified
        public boolean isComplete() {
            return transfer.blob().isComplete();
        }

        /// @return where it lies under its name, valid for announced ranges
        public Path arriving() {
            return cache.linkArriving(snapshot, transfer.blob());
        }

        /// @return where it lies under its name; the file must be complete
        public Path complete() {
            return cache.linkComplete(snapshot, transfer.blob());
        }

        /// Has ranges made present. The listener may hear of the end before this returns.
        ///
        /// @param ranges none for the whole file
        /// @param urgent goes before what is not
        void ask(List<ByteRange> ranges, boolean urgent, FileWish.Listener listener) {
            mine.lock();
            try {
                if (closed) {
                    throw new PenstockException(ErrorCategory.UNAVAILABLE, "%s: withdrawn", file().name());
                }
                askings.add(transfer.ask(snapshot, ranges, urgent, listener));
            } finally {
                mine.unlock();
            }
        }

        /// Reads bytes that are present.
        public int read(ByteBuffer into, long position) {
            return transfer.blob().read(into, position);
        }

        /// Withdraws what is still asked for, too.
        @Override
        public void close() {
            mine.lock();
            try {
                if (closed) {
                    return;
                }
                closed = true;
                askings.forEach(transfer::cancel);
            } finally {
                mine.unlock();
            }
            release(transfer);
        }
    }

    /// @param ranges none for the whole file
    public FileWish wish(Snapshot snapshot, RemoteFile file, Source source, List<ByteRange> ranges) {
        List<ByteRange> checked = ByteRange.checked(file.name().value(), ranges, file.size());
        return switch (source.access(snapshot, file)) {
            case Source.Access.OnNode(var path) -> new FileWish.OnNode(file, path, checked, () -> {});
            case Source.Access.OverHttp(var requests) -> {
                Optional<Path> durable = useDurable(snapshot, file);
                if (durable.isPresent()) {
                    checked.forEach(range -> metrics.hit(LoaderMetrics.DURABLE, range.length()));
                    AtomicBoolean held = new AtomicBoolean(true);
                    yield new FileWish.OnNode(file, durable.get(), checked, () -> {
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
            inPlace.merge(file.contentId(), 1, Integer::sum);
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
            inPlace.computeIfPresent(file.contentId(), (_, count) -> count == 1 ? null : count - 1);
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
                    yield open.transfer.recheck(onRead, eviction.store().all());
                }
            }
        };
    }

    /// Takes a revision out of the cache.
    ///
    /// @return bytes that are free now
    public long evict(Snapshot snapshot) {
        requireWritable();
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

    private boolean isInUse(String content) {
        return active.containsKey(content) || inPlace.containsKey(content);
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
        return new OpenFile(transfer, snapshot);
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
            Active left = active.computeIfPresent(
                    transfer.file().contentId(),
                    (_, there) -> there.users() == 1 ? null : new Active(there.transfer(), there.users() - 1));
            unused = left == null;
        } finally {
            lock.unlock();
        }
        if (unused) {
            transfer.close();
        }
    }

    Span begin(Snapshot snapshot, RemoteFile file) {
        return tracer.spanBuilder("weights.fetch")
                .setAttribute("penstock.model", snapshot.model())
                .setAttribute("penstock.revision", snapshot.revision())
                .setAttribute("penstock.file", file.name().value())
                .setAttribute("penstock.file.size", file.size())
                .startSpan();
    }

    /// @param remaining bytes of the file that nobody fetches yet
    int piecesAPart(int pieceSize, long remaining) {
        return (int) Math.max(1, pace.partBytes(settings, remaining, parallelism.limit()) / pieceSize);
    }

    /// The service said that it is too much.
    void refused() {
        parallelism.refused();
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
        lock.lock();
        try {
            closed = true;
        } finally {
            lock.unlock();
        }
        ticking.cancel(false);
        clock.shutdownNow();
        threads.shutdownNow();
        try {
            // Bytes on their way to a file must not meet one that is closed.
            if (!threads.awaitTermination(CLOSE_SECONDS, TimeUnit.SECONDS)) {
                LOG.log(Level.WARNING, "transfers do not end within {0} s", CLOSE_SECONDS);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } finally {
            tiers.close();
        }
    }
}
