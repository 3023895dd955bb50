package io.penstock.loader.grpc;

import io.grpc.stub.ServerCallStreamObserver;
import io.penstock.api.ErrorStatus;
import io.penstock.api.weights.DamagedFile;
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
import io.penstock.loader.transfer.Transfers;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;

/// One `Verify`: reads a revision's files one after the other, and has what is wrong fetched again where
/// that is asked.
final class VerifyCall {
    private static final long PROGRESS_STEP = 64 << 20;

    private final VerifyRequest request;
    private final ServerCallStreamObserver<VerifyEvent> observer;
    private final Catalog catalog;
    private final Transfers transfers;
    private long read;
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
            long total =
                    snapshot.files().stream().mapToLong(transfers::bytesPresent).sum();
            long wrong = 0;
            long repaired = 0;
            for (RemoteFile file : snapshot.files()) {
                boolean whole = transfers.bytesPresent(file) == file.size();
                List<ByteRange> damaged = transfers.verify(snapshot, file, source, bytes -> progress(bytes, total));
                long bytes = damaged.stream().mapToLong(ByteRange::length).sum();
                if (bytes > 0) {
                    wrong += bytes;
                    observer.onNext(VerifyEvent.newBuilder()
                            .setDamaged(DamagedFile.newBuilder()
                                    .setName(file.name().value())
                                    .setBytesWrong(bytes))
                            .build());
                    if (request.getRepair()) {
                        repaired += repair(snapshot, file, source, whole ? List.of() : damaged);
                    }
                }
            }
            observer.onNext(VerifyEvent.newBuilder()
                    .setResult(VerifyResult.newBuilder().setBytesWrong(wrong).setBytesRepaired(repaired))
                    .build());
            observer.onCompleted();
        } catch (RuntimeException e) {
            observer.onError(ErrorStatus.toStatus(WeightLoaderEndpoint.failure(e)));
        }
    }

    private void progress(int bytes, long total) {
        read += bytes;
        if (observer.isCancelled()) {
            throw new PenstockException(ErrorCategory.UNAVAILABLE, "the caller has gone away");
        }
        if (read - told >= PROGRESS_STEP || read == total) {
            told = read;
            observer.onNext(VerifyEvent.newBuilder()
                    .setProgress(VerifyProgress.newBuilder().setBytesRead(read).setBytesPresent(total))
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
