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
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.IntConsumer;

/// Everything that is going on about one file: who wants which ranges, which pieces are there, which are on
/// their way.
///
/// Each piece is fetched once, whoever asks for it and however often. When the last one has come the
/// whole is compared with the source's checksum and published; if it differs all of it is fetched once
/// more, and then given up.
final class FileTransfer {
    private static final Logger LOG = System.getLogger(FileTransfer.class.getName());

    private final RemoteFile file;
    private final Source.RangeRequests requests;
    private final String sourceKind;
    private final CacheDirectory cache;
    private final Transfers transfers;

    /// Guards all fields below, and the state of each [Asking].
    private final ReentrantLock lock = new ReentrantLock();

    private final List<Asking> askings = new ArrayList<>();
    /// Pieces that are being fetched.
    private final BitSet claimed = new BitSet();

    private BitSet present;
    private Blob blob;
    private PartDelivery delivery;
    private FrontDigest digest;
    private Optional<Span> span = Optional.empty();
    /// What has come while this was open, in bytes.
    private long fromSource;

    private long fromDurable;
    /// Whether somebody has asked for all of it: who does not may leave a digest that nobody needs.
    private boolean isWholeWanted;

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
                digest = new FrontDigest(blob, lock, this::isThere);
                delivery = new PartDelivery(blob, requests, sourceKind, transfers, new Arrival());
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
            transfers.makeRoom(missing(asking));
            isWholeWanted |= whole;
            transfers.retain(this);
            askings.add(asking);
            asking.arrive(present, LoaderMetrics.FAST, delivery.origin());
            transfers.metrics().hit(LoaderMetrics.FAST, asking.arrived(LoaderMetrics.FAST));
            if (opened.isComplete()) {
                finish(asking);
                demote(Set.of(snapshot));
            } else {
                transfers.dispatcher().submit(this, asking);
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

    /// Pieces `from` to `to` (exclusive) that one GET is to bring.
    ///
    /// @param askers all wishes of the time when it began: who came later does not hear of its failure, whose
    ///     cause may be gone by then
    record Part(int from, int to, List<Asking> askers) {}

    /// Takes the next part of what a wish lacks and nobody fetches; none where that is nothing, or the
    /// wish is withdrawn.
    Optional<Part> cut(Asking asking) {
        lock.lock();
        try {
            if (!askings.contains(asking)) {
                return Optional.empty();
            }
            BitSet needed = (BitSet) asking.remaining().clone();
            needed.andNot(claimed);
            int from = needed.nextSetBit(0);
            if (from < 0) {
                return Optional.empty();
            }
            long remaining = (long) needed.cardinality() * blob.pieceSize();
            int to = Math.min(
                    needed.nextClearBit(from), from + transfers.dispatcher().piecesAPart(blob.pieceSize(), remaining));
            claimed.set(from, to);
            if (span.isEmpty()) {
                span = Optional.of(transfers.begin(asking.snapshot(), file, sourceKind));
            }
            return Optional.of(new Part(from, to, List.copyOf(askings)));
        } finally {
            lock.unlock();
        }
    }

    /// Fetches a part. Blocks.
    void fetch(Part part, Asking claimant) {
        String what = claimant.snapshot().model() + "/" + file.name();
        try {
            delivery().bring(part, claimant);
        } catch (PenstockException e) {
            fail(part, e);
        } catch (RuntimeException e) {
            fail(part, new PenstockException(ErrorCategory.INTERNAL, e, "%s: %s", what, e));
        }
    }

    private PartDelivery delivery() {
        lock.lock();
        try {
            return delivery;
        } finally {
            lock.unlock();
        }
    }

    /// Reads again what is here, and forgets what is wrong.
    ///
    /// @param snapshots that may name the file
    /// @return what is no longer present
    List<ByteRange> recheck(IntConsumer onRead, List<Snapshot> snapshots) {
        Blob opened = blob();
        BitSet wrong = opened.damage(onRead);
        List<ByteRange> ranges = new ArrayList<>();
        lock.lock();
        try {
            if (wrong.isEmpty()) {
                return ranges;
            }
            transfers.metrics().checksumFailure("cache");
            for (Snapshot snapshot : snapshots) {
                for (RemoteFile named : snapshot.files()) {
                    if (named.contentId().equals(file.contentId())) {
                        cache.unpublish(snapshot, named);
                    }
                }
            }
            opened.forget(wrong);
            digest.reset();
            present.andNot(wrong);
            for (int piece = wrong.nextSetBit(0); piece >= 0; piece = wrong.nextSetBit(piece + 1)) {
                ranges.add(new ByteRange((long) piece * opened.pieceSize(), opened.pieceLength(piece)));
            }
            return ranges;
        } finally {
            lock.unlock();
        }
    }

    private final class Arrival implements PartDelivery.Arrival {
        @Override
        public int firstMissing(int from, int to) {
            lock.lock();
            try {
                return Math.min(present.nextClearBit(from), to);
            } finally {
                lock.unlock();
            }
        }

        @Override
        public void landed(int piece, int sum, String from) {
            if (file.pieces().isPresent() && !isExpected(file.pieces().get(), piece, sum)) {
                transfers.metrics().checksumFailure("piece");
                throw new TransientFailure(
                        "checksum",
                        "%s: the bytes of piece %d are not those of the manifest".formatted(file.name(), piece));
            }
            blob.markPresent(piece, sum);
            int length = blob.pieceLength(piece);
            transfers.metrics().fetched(from, length);
            lock.lock();
            try {
                if (from.equals(LoaderMetrics.DURABLE)) {
                    fromDurable += length;
                } else {
                    fromSource += length;
                }
                present.set(piece);
                claimed.clear(piece);
                for (Asking asking : askings) {
                    if (asking.remaining().get(piece)) {
                        asking.arrive(piece, from, delivery.origin());
                    }
                }
                if (isWholeWanted) {
                    followDigest();
                }
                settle();
            } finally {
                lock.unlock();
            }
        }
    }

    private boolean isThere(int piece) {
        return present.get(piece);
    }

    private static boolean isExpected(PieceChecksums pieces, int piece, int sum) {
        return pieces.values()[piece] == sum;
    }

    /// Ends the wishes that are met, or has the whole verified first when its last piece has come.
    private void settle() {
        if (present.cardinality() == blob.pieces()) {
            if (blob.isComplete() && !verifying) {
                List.copyOf(askings).forEach(this::finish);
            } else if (!digest.isWhole()) {
                followDigest();
            } else if (!verifying) {
                verifying = true;
                transfers.dispatcher().execute(this, this::verify);
            }
            return;
        }
        for (Asking asking : List.copyOf(askings)) {
            if (asking.isMet()) {
                finish(asking);
            }
        }
    }

    private void followDigest() {
        if (digest.begin()) {
            transfers.dispatcher().execute(this, () -> {
                try {
                    digest.follow();
                    lock.lock();
                    try {
                        settle();
                    } finally {
                        lock.unlock();
                    }
                } catch (PenstockException e) {
                    fail(e);
                }
            });
        }
    }

    private void verify() {
        int evictions = transfers.evictions();
        try {
            if (!digest.matches()) {
                transfers.metrics().checksumFailure("file");
                blob.forget();
                lock.lock();
                try {
                    verifying = false;
                    startOver();
                } finally {
                    lock.unlock();
                }
                return;
            }
            // A model need not wait for the disk: its bytes are here and right. Their durable name comes
            // after that.
            Set<Snapshot> snapshots = finishAll();
            blob.complete();
            snapshots.addAll(finishAll());
            snapshots.forEach(snapshot -> cache.linkComplete(snapshot, blob));
            demote(snapshots);
            lock.lock();
            try {
                verifying = false;
                settle();
            } finally {
                lock.unlock();
            }
        } catch (PenstockException e) {
            if (e.category() == ErrorCategory.OVERLOADED && transfers.evictSince(evictions)) {
                transfers.dispatcher().execute(this, this::verify);
                return;
            }
            // Who has been told of its bytes already hears no more of this; the next asker has it tried again.
            LOG.log(Level.WARNING, "{0} is not published: {1}", file.name(), e.getMessage());
            fail(e);
        } catch (RuntimeException e) {
            LOG.log(Level.ERROR, file.name() + " is not published", e);
            fail(new PenstockException(ErrorCategory.INTERNAL, e, "%s: %s", file.name(), e));
        }
    }

    /// Has the complete file copied to the durable tier, where that is to be.
    private void demote(Set<Snapshot> snapshots) {
        if (transfers.tiers().takes(file)) {
            snapshots.stream()
                    .findFirst()
                    .ifPresent(snapshot -> transfers
                            .dispatcher()
                            .execute(this, () -> transfers.tiers().demote(snapshot, blob)));
        }
    }

    /// @return the snapshots of the wishes that were met
    private Set<Snapshot> finishAll() {
        lock.lock();
        try {
            Set<Snapshot> snapshots = new HashSet<>();
            for (Asking asking : List.copyOf(askings)) {
                asking.tellWithheld();
                snapshots.add(asking.snapshot());
                finish(asking);
            }
            return snapshots;
        } finally {
            lock.unlock();
        }
    }

    private void startOver() {
        present.clear();
        digest.reset();
        PenstockException failure = new PenstockException(
                ErrorCategory.CORRUPT,
                "%s: its bytes do not give the source's checksum %s; what was fetched is dropped",
                file.name(),
                file.checksum().orElseThrow().text());
        boolean again = !mismatched;
        mismatched = true;
        for (Asking asking : List.copyOf(askings)) {
            if (again && !asking.wasTold()) {
                asking.startOver(delivery.origin());
                transfers.dispatcher().submit(this, asking);
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

    private void fail(Part part, PenstockException failure) {
        lock.lock();
        try {
            claimed.clear(part.from(), part.to());
            for (Asking asking : List.copyOf(askings)) {
                if (!asking.wants(part.from(), part.to())) {
                    continue;
                }
                if (part.askers().contains(asking)) {
                    end(asking, failure);
                } else {
                    transfers.dispatcher().submit(this, asking);
                }
            }
        } finally {
            lock.unlock();
        }
    }

    /// The whole, every piece of which is there, cannot be verified or published.
    private void fail(PenstockException failure) {
        lock.lock();
        try {
            verifying = false;
            List.copyOf(askings).forEach(asking -> end(asking, failure));
        } finally {
            lock.unlock();
        }
    }

    /// Nobody uses it any more.
    void close() {
        lock.lock();
        try {
            if (blob != null) {
                span.ifPresent(open -> open.setAttribute("penstock.file.bytes_present", blob.bytesPresent())
                        .setAttribute("penstock.file.bytes_from_source", fromSource)
                        .setAttribute("penstock.file.bytes_from_durable", fromDurable));
                blob.close();
                delivery.close();
            }
            span.ifPresent(Span::end);
        } finally {
            lock.unlock();
        }
    }
}
