package io.penstock.loader.grpc;

import com.google.protobuf.UnsafeByteOperations;
import io.grpc.stub.ServerCallStreamObserver;
import io.penstock.api.ErrorStatus;
import io.penstock.api.weights.ReadChunk;
import io.penstock.api.weights.ReadRequest;
import io.penstock.loader.catalog.Catalog;
import io.penstock.loader.source.FileName;
import io.penstock.loader.source.RemoteFile;
import io.penstock.loader.source.Snapshot;
import io.penstock.loader.source.Source;
import io.penstock.loader.transfer.ByteRange;
import io.penstock.loader.transfer.FileReader;
import io.penstock.loader.transfer.Transfers;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.nio.ByteBuffer;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Semaphore;

/// One `Read`: makes the range present, then streams it, one chunk ahead of the reader.
final class ReadCall {
    static final long MAX_LENGTH = 256 << 20;
    private static final int CHUNK = 1 << 20;

    private final ReadRequest request;
    private final ServerCallStreamObserver<ReadChunk> observer;
    private final Catalog catalog;
    private final Transfers transfers;
    private final CompletableFuture<Void> cancelled = new CompletableFuture<>();
    /// A permit when the reader may have become ready for more, or has gone.
    private final Semaphore woken = new Semaphore(0);

    ReadCall(ReadRequest request, ServerCallStreamObserver<ReadChunk> observer, Catalog catalog, Transfers transfers) {
        this.request = request;
        this.observer = observer;
        this.catalog = catalog;
        this.transfers = transfers;
        observer.setOnCancelHandler(() -> {
            cancelled.completeExceptionally(
                    new PenstockException(ErrorCategory.UNAVAILABLE, "the caller has gone away"));
            woken.release();
        });
        observer.setOnReadyHandler(woken::release);
    }

    void run() {
        try {
            Snapshot snapshot = catalog.describe(request.getModel(), request.getRevision());
            RemoteFile file = snapshot.file(new FileName(request.getName()));
            long length = length(file);
            Source source = catalog.source(snapshot.model());
            try (FileReader reader = transfers.reader(snapshot, file, source)) {
                if (length > 0) {
                    reader.await(new ByteRange(request.getOffset(), length), cancelled);
                }
                stream(reader, length);
            }
            if (!cancelled.isDone()) {
                observer.onCompleted();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            fail(new PenstockException(ErrorCategory.UNAVAILABLE, e, "the weight-loader is stopping"));
        } catch (RuntimeException e) {
            fail(e);
        }
    }

    private void fail(RuntimeException failure) {
        if (!cancelled.isDone()) {
            observer.onError(ErrorStatus.toStatus(WeightLoaderEndpoint.failure(failure)));
        }
    }

    private long length(RemoteFile file) {
        long offset = request.getOffset();
        if (offset < 0 || offset > file.size() || request.getLength() < 0) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT,
                    "%s: %d bytes at %d are not within its %d",
                    file.name(),
                    request.getLength(),
                    offset,
                    file.size());
        }
        long rest = file.size() - offset;
        long length = request.getLength() == 0 ? rest : request.getLength();
        if (length > rest) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT,
                    "%s: %d bytes at %d are not within its %d",
                    file.name(),
                    length,
                    offset,
                    file.size());
        }
        if (length > MAX_LENGTH) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT,
                    "%s: a read of %d bytes is over the limit of %d; Ensure is for more",
                    file.name(),
                    length,
                    MAX_LENGTH);
        }
        return length;
    }

    private void stream(FileReader reader, long length) throws InterruptedException {
        long sent = 0;
        while (sent < length) {
            while (!observer.isReady() && !cancelled.isDone()) {
                woken.acquire();
            }
            if (cancelled.isDone()) {
                return;
            }
            ByteBuffer chunk = ByteBuffer.allocate((int) Math.min(CHUNK, length - sent));
            int count = reader.read(chunk, request.getOffset() + sent);
            if (chunk.hasRemaining()) {
                throw new PenstockException(
                        ErrorCategory.CORRUPT, "%s ends at %d", request.getName(), request.getOffset() + sent + count);
            }
            observer.onNext(ReadChunk.newBuilder()
                    .setContent(UnsafeByteOperations.unsafeWrap(chunk.flip()))
                    .build());
            sent += count;
        }
    }
}
