package io.penstock.loader.transfer;

import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.Tracer;
import io.penstock.loader.cache.CacheDirectory;
import io.penstock.loader.source.RemoteFile;
import io.penstock.loader.source.RemoteHttp;
import io.penstock.loader.source.Retry;
import io.penstock.loader.source.Snapshot;
import io.penstock.loader.source.Source;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.PriorityBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.ReentrantLock;

/// All transfers of this node: at most one per file, over one pool of connections.
public final class Transfers implements AutoCloseable {
    private final CacheDirectory cache;
    private final RemoteHttp http;
    private final TransferSettings settings;
    private final LoaderMetrics metrics;
    private final Tracer tracer;
    private final PartFetch partFetch;
    private final ThreadPoolExecutor workers;
    private final AtomicLong submitted = new AtomicLong();

    /// Guards [#active].
    private final ReentrantLock lock = new ReentrantLock();

    private final Map<String, Active> active = new HashMap<>();

    /// @param users open files, wishes and queued work that need it
    private record Active(FileTransfer transfer, int users) {}

    public Transfers(
            CacheDirectory cache, RemoteHttp http, TransferSettings settings, LoaderMetrics metrics, Tracer tracer) {
        this.cache = cache;
        this.http = http;
        this.settings = settings;
        this.metrics = metrics;
        this.tracer = tracer;
        this.partFetch = new PartFetch(http, settings.stallTimeout());
        this.workers = new ThreadPoolExecutor(
                settings.connections(),
                settings.connections(),
                1,
                TimeUnit.MINUTES,
                new PriorityBlockingQueue<>(),
                Thread.ofVirtual().name("transfer-", 0).factory());
    }

    /// Work in the queue: urgent first, then in the order of submission.
    private record Work(boolean urgent, long order, Runnable body) implements Runnable, Comparable<Work> {
        @Override
        public void run() {
            body.run();
        }

        @Override
        public int compareTo(Work other) {
            int byUrgency = Boolean.compare(other.urgent, urgent);
            return byUrgency != 0 ? byUrgency : Long.compare(order, other.order);
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
            case Source.Access.OnNode(var path) -> new FileWish.OnNode(file, path, checked);
            case Source.Access.OverHttp(var requests) ->
                new FileWish.Cached(open(snapshot, file, requests, source.kind()), checked);
        };
    }

    public FileReader reader(Snapshot snapshot, RemoteFile file, Source source) {
        return switch (source.access(snapshot, file)) {
            case Source.Access.OnNode(var path) -> FileReader.OnNode.open(path);
            case Source.Access.OverHttp(var requests) ->
                new FileReader.Cached(open(snapshot, file, requests, source.kind()));
        };
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

    void submit(FileTransfer transfer, boolean urgent, Runnable body) {
        retain(transfer);
        workers.execute(new Work(urgent, submitted.getAndIncrement(), () -> {
            try {
                body.run();
            } finally {
                release(transfer);
            }
        }));
    }

    Span begin(Snapshot snapshot, RemoteFile file) {
        return tracer.spanBuilder("weights.fetch")
                .setAttribute("penstock.model", snapshot.model())
                .setAttribute("penstock.revision", snapshot.revision())
                .setAttribute("penstock.file", file.name().value())
                .setAttribute("penstock.file.size", file.size())
                .startSpan();
    }

    int piecesAPart(int pieceSize) {
        return (int) Math.max(1, settings.partSize() / pieceSize);
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
        workers.shutdownNow();
    }
}
