package io.penstock.loader.grpc;

import io.grpc.stub.ServerCallStreamObserver;
import io.penstock.api.ErrorStatus;
import io.penstock.api.weights.DamagedFile;
import io.penstock.api.weights.TierProgress;
import io.penstock.api.weights.TierResult;
import io.penstock.api.weights.VerifyEvent;
import io.penstock.api.weights.VerifyProgress;
import io.penstock.api.weights.VerifyRequest;
import io.penstock.api.weights.VerifyResult;
import io.penstock.loader.catalog.Catalog;
import io.penstock.loader.source.Failures;
import io.penstock.loader.source.RemoteFile;
import io.penstock.loader.source.Snapshot;
import io.penstock.loader.source.Source;
import io.penstock.loader.transfer.ByteRange;
import io.penstock.loader.transfer.FileWish;
import io.penstock.loader.transfer.LoaderMetrics;
import io.penstock.loader.transfer.Transfers;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;

/// One `Verify`: reads a revision's files one after the other in both tiers, and has what is wrong fetched again where
/// that is asked: the fast tier's from the durable one or the source, the durable one's from the fast one.
final class VerifyCall {
    private static final long PROGRESS_STEP = 64 << 20;

    private final VerifyRequest request;
    private final ServerCallStreamObserver<VerifyEvent> observer;
    private final Catalog catalog;
    private final Transfers transfers;
    private final Tier fast = new Tier(LoaderMetrics.FAST);
    private final Tier durable = new Tier(LoaderMetrics.DURABLE);
    private long told;

    VerifyCall(
            VerifyRequest request,
            ServerCallStreamObserver<VerifyEvent> observer,
            Catalog catalog,
            Transfers transfers) {
        this.request = request;
        this.observer = observer;
        this.catalog = catalog;
        this.transfers = transfers;
        // Without a handler each message to a caller that has gone would throw.
        observer.setOnCancelHandler(() -> {});
    }

    void run() {
        try {
            transfers.requireWritable();
            Snapshot snapshot = catalog.cached(request.getModel(), request.getRevision());
            Source source = catalog.source(snapshot.model());
            for (RemoteFile file : snapshot.files()) {
                fast.present += transfers.bytesPresent(file);
                durable.present += transfers.bytesDurable(file);
            }
            for (RemoteFile file : snapshot.files()) {
                verifyFast(snapshot, file, source);
            }
            // The tier that others are put right from goes first.
            for (RemoteFile file : snapshot.files()) {
                verifyDurable(snapshot, file, source);
            }
            observer.onNext(VerifyEvent.newBuilder()
                    .setResult(VerifyResult.newBuilder()
                            .setBytesWrong(fast.wrong + durable.wrong)
                            .setBytesRepaired(fast.repaired + durable.repaired)
                            .addTiers(fast.result())
                            .addTiers(durable.result()))
                    .build());
            observer.onCompleted();
        } catch (RuntimeException e) {
            observer.onError(ErrorStatus.toStatus(WeightLoaderEndpoint.failure(e)));
        }
    }

    private void verifyFast(Snapshot snapshot, RemoteFile file, Source source) {
        boolean whole = transfers.bytesPresent(file) == file.size();
        List<ByteRange> damaged = transfers.verify(snapshot, file, source, bytes -> progress(fast, bytes));
        if (tell(file, fast, damaged) && request.getRepair()) {
            fast.repaired += repair(snapshot, file, source, whole ? List.of() : damaged);
        }
    }

    private void verifyDurable(Snapshot snapshot, RemoteFile file, Source source) {
        List<ByteRange> damaged = transfers.verifyDurable(file, bytes -> progress(durable, bytes));
        if (tell(file, durable, damaged) && request.getRepair()) {
            // The fast tier may lack them: then they come from the source.
            repair(snapshot, file, source, damaged);
            if (transfers.mendDurable(snapshot, file, source, damaged)) {
                durable.repaired += sum(damaged);
            }
        }
    }

    private static long sum(List<ByteRange> ranges) {
        return ranges.stream().mapToLong(ByteRange::length).sum();
    }

    /// @return whether anything was wrong
    private boolean tell(RemoteFile file, Tier tier, List<ByteRange> damaged) {
        long bytes = sum(damaged);
        if (bytes > 0) {
            tier.wrong += bytes;
            observer.onNext(VerifyEvent.newBuilder()
                    .setDamaged(DamagedFile.newBuilder()
                            .setName(file.name().value())
                            .setBytesWrong(bytes)
                            .setTier(tier.name))
                    .build());
        }
        return bytes > 0;
    }

    /// What was found in one tier, in bytes.
    private static final class Tier {
        private final String name;
        private long present;
        private long read;
        private long wrong;
        private long repaired;

        Tier(String name) {
            this.name = name;
        }

        TierProgress progress() {
            return TierProgress.newBuilder()
                    .setTier(name)
                    .setBytesDone(read)
                    .setBytesExpected(present)
                    .build();
        }

        TierResult result() {
            return TierResult.newBuilder()
                    .setTier(name)
                    .setBytesRead(read)
                    .setBytesWrong(wrong)
                    .setBytesRepaired(repaired)
                    .build();
        }
    }

    private void progress(Tier tier, int bytes) {
        tier.read += bytes;
        long read = fast.read + durable.read;
        long total = fast.present + durable.present;
        if (observer.isCancelled()) {
            throw new PenstockException(ErrorCategory.UNAVAILABLE, "the caller has gone away");
        }
        if (read - told >= PROGRESS_STEP || read == total) {
            told = read;
            observer.onNext(VerifyEvent.newBuilder()
                    .setProgress(VerifyProgress.newBuilder()
                            .setBytesRead(read)
                            .setBytesPresent(total)
                            .addTiers(fast.progress())
                            .addTiers(durable.progress()))
                    .build());
        }
    }

    private long repair(Snapshot snapshot, RemoteFile file, Source source, List<ByteRange> ranges) {
        CompletableFuture<Long> end = new CompletableFuture<>();
        try (FileWish wish = transfers.wish(snapshot, file, source, ranges)) {
            wish.ask(FileWish.Listener.of(end));
            return end.get();
        } catch (ExecutionException e) {
            throw Failures.of(e.getCause(), file.name());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new PenstockException(ErrorCategory.UNAVAILABLE, e, "the weight-loader is stopping");
        }
    }
}
