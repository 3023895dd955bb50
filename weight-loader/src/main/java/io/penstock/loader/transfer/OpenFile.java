package io.penstock.loader.transfer;

import io.penstock.loader.cache.CacheDirectory;
import io.penstock.loader.source.RemoteFile;
import io.penstock.loader.source.Snapshot;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Consumer;

/// A file of a revision, opened in the cache, shared with whoever else has it open.
public final class OpenFile implements AutoCloseable {
    private final FileTransfer transfer;
    private final Snapshot snapshot;
    private final CacheDirectory cache;
    private final Consumer<FileTransfer> release;
    /// Guards the fields below; taken before the transfer's own lock.
    private final ReentrantLock mine = new ReentrantLock();

    private final List<Asking> askings = new ArrayList<>();
    private boolean closed;

    /// @param release hears when this is closed
    OpenFile(FileTransfer transfer, Snapshot snapshot, CacheDirectory cache, Consumer<FileTransfer> release) {
        this.transfer = transfer;
        this.snapshot = snapshot;
        this.cache = cache;
        this.release = release;
    }

    FileTransfer transfer() {
        return transfer;
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
        release.accept(transfer);
    }
}
