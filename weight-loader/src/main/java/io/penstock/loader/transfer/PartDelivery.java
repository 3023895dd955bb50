package io.penstock.loader.transfer;

import io.penstock.loader.cache.Blob;
import io.penstock.loader.cache.DurableTier;
import io.penstock.loader.source.RemoteFile;
import io.penstock.loader.source.RemoteHttp;
import io.penstock.loader.source.Source;
import io.penstock.loader.source.TransientFailure;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Optional;

/// Brings parts of one file: from the durable tier for as long as that gives what it should, else from the source,
/// until all of a part is there or it is clear that it cannot be had.
final class PartDelivery {
    private static final int MAX_REPLACEMENTS = 2;
    private static final int MAX_RENEWALS = 3;

    private final RemoteFile file;
    private final Source.RangeRequests requests;
    private final String sourceKind;
    private final Transfers transfers;
    private final Arrival arrival;
    private final Blob blob;
    /// The same file in the durable tier.
    private final Optional<Blob> durable;

    private volatile boolean isDurableTrusted = true;

    /// Where pieces go to.
    interface Arrival {
        /// @param from where it came from, for the metrics
        /// @throws TransientFailure when its bytes are wrong
        void landed(int piece, int sum, String from);

        /// @return the first piece from `from` on that is not there, `to` where all before it are
        int firstMissing(int from, int to);
    }

    /// @param blob where the bytes go
    PartDelivery(Blob blob, Source.RangeRequests requests, String sourceKind, Transfers transfers, Arrival arrival) {
        this.file = blob.file();
        this.blob = blob;
        this.requests = requests;
        this.sourceKind = sourceKind;
        this.transfers = transfers;
        this.arrival = arrival;
        this.durable = blob.isComplete() ? Optional.empty() : transfers.tiers().promotable(file);
    }

    /// @return the tier or the source's kind that the next part is to come from
    String origin() {
        return durable.isPresent() && isDurableTrusted ? LoaderMetrics.DURABLE : sourceKind;
    }

    /// What one part may have that is no failure of the source, by count.
    private static final class Leniency {
        private int replacements;
        private int renewals;
    }

    /// Blocks until all of the part is there.
    ///
    /// @throws PenstockException when that cannot be
    void bring(FileTransfer.Part part, Asking claimant) {
        Leniency leniency = new Leniency();
        String what = claimant.snapshot().model() + "/" + file.name();
        while (transfers.retry().call(what, Integer.class, () -> attempt(part, claimant, leniency)) < part.to()) {
            // An attempt that brought something was worth it: the count of failures begins anew.
        }
    }

    /// @return the first piece that is still missing, the part's end when none is
    private int attempt(FileTransfer.Part part, Asking claimant, Leniency leniency) {
        int first = arrival.firstMissing(part.from(), part.to());
        if (first == part.to()) {
            return first;
        }
        long begin = System.nanoTime();
        int evictions = transfers.evictions();
        try {
            if (origin().equals(LoaderMetrics.DURABLE)) {
                return promote(durable.get(), first, part.to());
            }
            transfers
                    .partFetch()
                    .fetch(blob, requests, first, part.to(), leniency.replacements < MAX_REPLACEMENTS, (piece, sum) -> {
                        claimant.addFetched(blob.pieceLength(piece));
                        arrival.landed(piece, sum, sourceKind);
                    });
            transfers.metrics().part(sourceKind, Duration.ofNanos(System.nanoTime() - begin));
            return part.to();
        } catch (TransientFailure e) {
            boolean slow = e.kind().equals(TransientFailure.SLOW);
            if (slow) {
                leniency.replacements++;
            }
            boolean refused = e.kind().equals(TransientFailure.CREDENTIALS);
            // They are renewed by now.
            if (refused && leniency.renewals++ >= MAX_RENEWALS) {
                throw RemoteHttp.refused(e);
            }
            if (e.kind().equals(TransientFailure.THROTTLED)) {
                transfers.dispatcher().refused();
            }
            int reached = arrival.firstMissing(part.from(), part.to());
            if (reached == first && !slow && !refused) {
                throw e;
            }
            transfers.metrics().retry(e.kind());
            return reached;
        } catch (PenstockException e) {
            if (e.category() != ErrorCategory.OVERLOADED || !transfers.evictSince(evictions)) {
                throw e;
            }
            transfers.metrics().retry("full");
            return arrival.firstMissing(part.from(), part.to());
        }
    }

    /// Copies pieces from the durable tier.
    ///
    /// @return the first piece that is still missing
    private int promote(Blob from, int first, int to) {
        try (Arena arena = Arena.ofConfined()) {
            ByteBuffer buffer = arena.allocate(blob.pieceSize()).asByteBuffer();
            for (int piece = first; piece < to; piece = arrival.firstMissing(piece + 1, to)) {
                arrival.landed(piece, DurableTier.copyPiece(from, blob, piece, buffer), LoaderMetrics.DURABLE);
            }
            return to;
        } catch (PenstockException e) {
            if (e.category() == ErrorCategory.OVERLOADED) {
                throw e;
            }
            transfers.tiers().failed(file, e);
            // Others may read of it at this moment: it is closed with the rest.
            isDurableTrusted = false;
            return arrival.firstMissing(first, to);
        }
    }

    /// Nobody brings a part any more.
    void close() {
        durable.ifPresent(Blob::close);
    }
}
