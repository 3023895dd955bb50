package io.penstock.loader.transfer;

import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.StatusCode;
import io.penstock.loader.cache.Blob;
import io.penstock.loader.cache.CacheDirectory;
import io.penstock.loader.source.RemoteFile;
import io.penstock.loader.source.Snapshot;
import io.penstock.loader.source.Source;
import io.penstock.loader.source.TransientFailure;
import io.penstock.loader.verify.PieceChecksums;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.locks.ReentrantLock;

/// Everything that is going on about one file: who wants which ranges, which pieces are there, which are on
/// their way.
///
/// Each piece is fetched once, whoever asks for it and however often. When the last one has come the whole
/// is compared
/// with the source's checksum and published; if it differs all of it is fetched once more, and then given
/// up.
final class FileTransfer {
    private final RemoteFile file;
    private final Source.RangeRequests requests;
    private final String sourceKind;
    private final CacheDirectory cache;
    private final Transfers transfers;

    /// Guards all fields below, and the state of each [Asking].
    private final ReentrantLock lock = new ReentrantLock();

    private final List<Asking> askings = new ArrayList<>();
    /// Pieces that are queued or being fetched.
    private final BitSet claimed = new BitSet();

    private BitSet present;
    private Blob blob;
    private Optional<Span> span = Optional.empty();
    private boolean verifying;
    private boolean mismatched;

    FileTransfer(
            RemoteFile file,
            Source.RangeRequests requests,
            String sourceKind,
            CacheDirectory cache,
            Transfers transfers) {
        this.file = file;
        this.requests = requests;
        this.sourceKind = sourceKind;
        this.cache = cache;
        this.transfers = transfers;
    }

    RemoteFile file() {
        return file;
    }

    /// Opens the blob at first use. Blocks while pieces of an earlier boot are re-read.
    Blob blob() {
        lock.lock();
        try {
            if (blob == null) {
                blob = cache.open(file);
                present = blob.present();
            }
            return blob;
        } finally {
            lock.unlock();
        }
    }

    /// Registers a wish, tells it what is there, and queues what is not.
    ///
    /// @throws PenstockException OVERLOADED when the volume has no room for it
    Asking ask(Snapshot snapshot, List<ByteRange> wanted, boolean urgent, FileWish.Listener listener) {
        Blob opened = blob();
        List<ByteRange> ranges = ByteRange.checked(file.name().value(), wanted, file.size());
        boolean whole = ranges.stream().mapToLong(ByteRange::length).sum() == file.size();
        lock.lock();
        try {
            boolean withheld = whole
                    && !opened.isComplete()
                    && file.checksum().isPresent()
                    && file.pieces().isEmpty();
            Asking asking = new Asking(snapshot, ranges, opened.pieceSize(), withheld, urgent, listener);
            cache.requireSpace(missing(asking));
            transfers.retain(this);
            askings.add(asking);
            asking.arrive(present);
            transfers.metrics().hit(asking.arrived());
            if (opened.isComplete()) {
                finish(asking);
            } else {
                claim(asking);
                settle();
            }
            return asking;
        } finally {
            lock.unlock();
        }
    }

    private long missing(Asking asking) {
        BitSet missing = (BitSet) asking.remaining().clone();
        missing.andNot(present);
        missing.andNot(claimed);
        return (long) missing.cardinality() * blob.pieceSize();
    }

    /// Withdraws a wish. What has arrived stays; parts that nobody else wants are not begun any more.
    void cancel(Asking asking) {
        lock.lock();
        try {
            if (askings.remove(asking)) {
                transfers.release(this);
            }
        } finally {
            lock.unlock();
        }
    }

    private void claim(Asking asking) {
        int piecesAPart = transfers.piecesAPart(blob.pieceSize());
        BitSet needed = (BitSet) asking.remaining().clone();
        needed.andNot(claimed);
        for (int from = needed.nextSetBit(0); from >= 0; ) {
            int to = Math.min(needed.nextClearBit(from), from + piecesAPart);
            claimed.set(from, to);
            int begin = from;
            int end = to;
            span = span.or(() -> Optional.of(transfers.begin(asking.snapshot(), file)));
            transfers.submit(this, asking.isUrgent(), () -> fetch(begin, end, asking));
            from = needed.nextSetBit(to);
        }
    }

    /// Fetches pieces `from` to `to` (exclusive). On a worker's thread.
    private void fetch(int from, int to, Asking claimant) {
        if (isUnwanted(from, to)) {
            return;
        }
        String what = claimant.snapshot().model() + "/" + file.name();
        try {
            while (transfers.retry().call(what, Integer.class, () -> attempt(from, to, claimant)) < to) {
                // An attempt that brought something was worth it: the count of failures begins anew.
            }
        } catch (PenstockException e) {
            fail(from, to, e);
        } catch (RuntimeException e) {
            fail(from, to, new PenstockException(ErrorCategory.INTERNAL, e, "%s: %s", what, e));
        }
    }

    /// @return the first piece that is still missing, `to` when none is
    private int attempt(int from, int to, Asking claimant) {
        int first = firstMissing(from, to);
        if (first == to) {
            return to;
        }
        long begin = System.nanoTime();
        try {
            transfers.partFetch().fetch(blob, requests, first, to, (piece, sum) -> landed(piece, sum, claimant));
            transfers.metrics().part(sourceKind, Duration.ofNanos(System.nanoTime() - begin));
            return to;
        } catch (TransientFailure e) {
            int reached = firstMissing(from, to);
            if (reached == first) {
                throw e;
            }
            transfers.metrics().retry(e.kind());
            return reached;
        }
    }

    private boolean isUnwanted(int from, int to) {
        lock.lock();
        try {
            for (Asking asking : askings) {
                if (asking.wants(from, to)) {
                    return false;
                }
            }
            claimed.clear(from, to);
            return true;
        } finally {
            lock.unlock();
        }
    }

    private int firstMissing(int from, int to) {
        lock.lock();
        try {
            return Math.min(present.nextClearBit(from), to);
        } finally {
            lock.unlock();
        }
    }

    private void landed(int piece, int sum, Asking claimant) {
        if (file.pieces().isPresent() && !isExpected(file.pieces().get(), piece, sum)) {
            transfers.metrics().checksumFailure("piece");
            throw new TransientFailure(
                    "checksum",
                    "%s: the bytes of piece %d are not those of the manifest".formatted(file.name(), piece));
        }
        blob.markPresent(piece, sum);
        int length = blob.pieceLength(piece);
        transfers.metrics().fetched(sourceKind, length);
        lock.lock();
        try {
            present.set(piece);
            claimed.clear(piece);
            claimant.addFetched(length);
            for (Asking asking : askings) {
                if (asking.remaining().get(piece)) {
                    asking.arrive(piece, piece + 1);
                }
            }
            settle();
        } finally {
            lock.unlock();
        }
    }

    private static boolean isExpected(PieceChecksums pieces, int piece, int sum) {
        return pieces.values()[piece] == sum;
    }

    /// Ends the wishes that are met, or has the whole verified first when its last piece has come.
    private void settle() {
        if (present.cardinality() == blob.pieces()) {
            if (!verifying) {
                verifying = true;
                transfers.submit(this, true, this::verify);
            }
            return;
        }
        for (Asking asking : List.copyOf(askings)) {
            if (asking.isMet()) {
                finish(asking);
            }
        }
    }

    private void verify() {
        try {
            boolean matches = blob.matches();
            if (matches) {
                blob.complete();
            } else {
                transfers.metrics().checksumFailure("file");
                blob.forget();
            }
            lock.lock();
            try {
                verifying = false;
                if (matches) {
                    for (Asking asking : List.copyOf(askings)) {
                        asking.tellWithheld();
                        finish(asking);
                    }
                } else {
                    startOver();
                }
            } finally {
                lock.unlock();
            }
        } catch (PenstockException e) {
            fail(0, blob.pieces(), e);
        } catch (RuntimeException e) {
            fail(0, blob.pieces(), new PenstockException(ErrorCategory.INTERNAL, e, "%s: %s", file.name(), e));
        }
    }

    private void startOver() {
        present.clear();
        PenstockException failure = new PenstockException(
                ErrorCategory.CORRUPT,
                "%s: its bytes do not give the source's checksum %s; what was fetched is dropped",
                file.name(),
                file.checksum().orElseThrow().text());
        boolean again = !mismatched;
        mismatched = true;
        for (Asking asking : List.copyOf(askings)) {
            if (again && !asking.wasTold()) {
                asking.startOver();
                claim(asking);
            } else {
                end(asking, failure);
            }
        }
    }

    private void finish(Asking asking) {
        if (blob.isComplete()) {
            cache.linkComplete(asking.snapshot(), blob);
        }
        askings.remove(asking);
        asking.listener().done(asking.fetched());
        transfers.release(this);
    }

    private void end(Asking asking, PenstockException failure) {
        askings.remove(asking);
        span.ifPresent(open -> open.setStatus(StatusCode.ERROR, failure.getMessage()));
        asking.listener().failed(failure);
        transfers.release(this);
    }

    private void fail(int from, int to, PenstockException failure) {
        lock.lock();
        try {
            verifying = false;
            claimed.clear(from, to);
            for (Asking asking : List.copyOf(askings)) {
                if (asking.wants(from, to) || asking.isMet()) {
                    end(asking, failure);
                }
            }
        } finally {
            lock.unlock();
        }
    }

    /// Nobody uses it any more.
    void close() {
        lock.lock();
        try {
            if (blob != null) {
                span.ifPresent(open -> open.setAttribute("penstock.file.bytes_present", blob.bytesPresent()));
                blob.close();
            }
            span.ifPresent(Span::end);
        } finally {
            lock.unlock();
        }
    }
}
