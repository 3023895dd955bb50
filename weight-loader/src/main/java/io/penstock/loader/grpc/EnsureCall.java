package io.penstock.loader.grpc;

import io.grpc.stub.ServerCallStreamObserver;
import io.penstock.api.ErrorStatus;
import io.penstock.api.weights.ByteRange;
import io.penstock.api.weights.Complete;
import io.penstock.api.weights.EnsureEvent;
import io.penstock.api.weights.EnsureRequest;
import io.penstock.api.weights.FileRanges;
import io.penstock.api.weights.Located;
import io.penstock.api.weights.LocatedFile;
import io.penstock.api.weights.TransferProgress;
import io.penstock.loader.catalog.Catalog;
import io.penstock.loader.source.FileName;
import io.penstock.loader.source.RemoteFile;
import io.penstock.loader.source.Snapshot;
import io.penstock.loader.source.Source;
import io.penstock.loader.transfer.FileWish;
import io.penstock.loader.transfer.Transfers;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Executor;
import java.util.concurrent.locks.ReentrantLock;

/// One `Ensure`: says where the files lie, then what arrives, as fast as the caller reads and no
/// faster. What the caller is too slow for is merged, so the memory of a call is bounded by the count
/// of separate ranges it asked for.
final class EnsureCall {
    private static final int MAX_RANGES = 1_000_000;

    private final EnsureRequest request;
    private final ServerCallStreamObserver<EnsureEvent> observer;
    private final Catalog catalog;
    private final Transfers transfers;
    private final Executor executor;

    /// Guards all fields below and the observer.
    private final ReentrantLock lock = new ReentrantLock();

    private final List<FileWish> wishes = new ArrayList<>();
    /// Ranges to be announced, by file; each list ascends as far as ranges do.
    private final Map<String, List<ByteRange>> untold = new LinkedHashMap<>();

    private final TierTally tally = new TierTally();
    private long told = -1;
    private long fetched;
    private int open;
    private boolean begun;
    private boolean ended;
    private Optional<PenstockException> failure = Optional.empty();

    EnsureCall(
            EnsureRequest request,
            ServerCallStreamObserver<EnsureEvent> observer,
            Catalog catalog,
            Transfers transfers,
            Executor executor) {
        this.request = request;
        this.observer = observer;
        this.catalog = catalog;
        this.transfers = transfers;
        this.executor = executor;
        observer.setOnCancelHandler(this::cancel);
        observer.setOnReadyHandler(this::flush);
    }

    /// On a thread that may block.
    void begin() {
        try {
            Snapshot snapshot = catalog.describe(request.getModel(), request.getRevision());
            Source source = catalog.source(snapshot.model());
            locate(snapshot, source);
            for (FileWish wish : wishes) {
                wish.ask(new FileListener(wish.file().name().value(), wish.bytes()));
            }
            lock.lock();
            try {
                begun = true;
            } finally {
                lock.unlock();
            }
            flush();
        } catch (RuntimeException e) {
            fail(WeightLoaderEndpoint.failure(e));
        }
    }

    private void locate(Snapshot snapshot, Source source) {
        List<FileWish> opened = new ArrayList<>();
        try {
            if (request.getFilesCount() == 0) {
                throw new PenstockException(ErrorCategory.BAD_INPUT, "the request names no file");
            }
            Set<FileName> names = new HashSet<>();
            int ranges = 0;
            for (FileRanges asked : request.getFilesList()) {
                RemoteFile file = snapshot.file(new FileName(asked.getName()));
                ranges += asked.getRangesCount();
                if (!names.add(file.name()) || ranges > MAX_RANGES) {
                    throw new PenstockException(
                            ErrorCategory.BAD_INPUT,
                            "%s: each file is named once, and there are at most %d ranges in all",
                            file.name(),
                            MAX_RANGES);
                }
                opened.add(transfers.wish(
                        snapshot,
                        file,
                        source,
                        asked.getRangesList().stream()
                                .map(range ->
                                        new io.penstock.loader.transfer.ByteRange(range.getOffset(), range.getLength()))
                                .toList()));
            }
            Located.Builder located = Located.newBuilder();
            boolean complete = opened.stream().allMatch(FileWish::isComplete);
            for (FileWish wish : opened) {
                located.addFiles(LocatedFile.newBuilder()
                        .setName(wish.file().name().value())
                        .setPath(wish.path(complete).toString())
                        .setSize(wish.file().size()));
            }
            lock.lock();
            try {
                if (ended) {
                    throw new PenstockException(ErrorCategory.UNAVAILABLE, "the caller has gone away");
                }
                opened.forEach(wish -> tally.expect(wish.bytes()));
                open = opened.size();
                wishes.addAll(opened);
                observer.onNext(EnsureEvent.newBuilder().setLocated(located).build());
            } finally {
                lock.unlock();
            }
        } catch (RuntimeException e) {
            opened.forEach(FileWish::close);
            throw e;
        }
    }

    /// Hears of one file. Under that file's lock: nothing here blocks or calls back into the transfer.
    private final class FileListener implements FileWish.Listener {
        private final String name;
        private final long needed;

        FileListener(String name, long needed) {
            this.name = name;
            this.needed = needed;
        }

        @Override
        public void present(long offset, long length) {
            lock.lock();
            try {
                List<ByteRange> ranges = untold.computeIfAbsent(name, _ -> new ArrayList<>());
                int last = ranges.size() - 1;
                if (last >= 0 && ranges.get(last).getOffset() + ranges.get(last).getLength() == offset) {
                    ranges.set(
                            last,
                            range(ranges.get(last).getOffset(), ranges.get(last).getLength() + length));
                } else {
                    ranges.add(range(offset, length));
                }
            } finally {
                lock.unlock();
            }
        }

        @Override
        public void progress(FileWish.Progress progress) {
            lock.lock();
            try {
                tally.put(name, progress, needed);
            } finally {
                lock.unlock();
            }
            flush();
        }

        @Override
        public void done(long bytes) {
            lock.lock();
            try {
                fetched += bytes;
                open--;
            } finally {
                lock.unlock();
            }
            flush();
        }

        @Override
        public void failed(PenstockException reason) {
            lock.lock();
            try {
                open--;
                failure = failure.or(() -> Optional.of(reason));
            } finally {
                lock.unlock();
            }
            flush();
        }
    }

    private static ByteRange range(long offset, long length) {
        return ByteRange.newBuilder().setOffset(offset).setLength(length).build();
    }

    /// Sends what the caller is ready for.
    private void flush() {
        lock.lock();
        try {
            if (ended || (wishes.isEmpty() && !begun)) {
                return;
            }
            if (failure.isPresent()) {
                PenstockException reason = WeightLoaderEndpoint.failure(failure.get());
                end();
                observer.onError(ErrorStatus.toStatus(reason));
                return;
            }
            while (observer.isReady() && !untold.isEmpty()) {
                String name = untold.keySet().iterator().next();
                observer.onNext(EnsureEvent.newBuilder()
                        .setPresent(FileRanges.newBuilder().setName(name).addAllRanges(untold.remove(name)))
                        .build());
            }
            boolean isMet = begun && open == 0 && untold.isEmpty();
            if (observer.isReady() || isMet) {
                tellProgress();
            }
            if (isMet) {
                end();
                observer.onNext(EnsureEvent.newBuilder()
                        .setComplete(Complete.newBuilder().setBytesFetched(fetched))
                        .build());
                observer.onCompleted();
            }
        } finally {
            lock.unlock();
        }
    }

    private void tellProgress() {
        TransferProgress progress = tally.progress();
        if (progress.getBytesPresent() != told) {
            told = progress.getBytesPresent();
            observer.onNext(EnsureEvent.newBuilder().setProgress(progress).build());
        }
    }

    private void fail(PenstockException reason) {
        lock.lock();
        try {
            if (!ended) {
                end();
                observer.onError(ErrorStatus.toStatus(reason));
            }
        } finally {
            lock.unlock();
        }
    }

    private void cancel() {
        lock.lock();
        try {
            if (!ended) {
                end();
            }
        } finally {
            lock.unlock();
        }
    }

    /// Withdraws what is still open: on another thread, because a file's lock comes before this one's.
    private void end() {
        ended = true;
        List<FileWish> closing = List.copyOf(wishes);
        executor.execute(() -> closing.forEach(FileWish::close));
    }
}
