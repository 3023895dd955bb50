package io.penstock.loader.transfer;

import io.penstock.loader.cache.Blob;
import io.penstock.loader.source.TransientFailure;
import java.net.http.HttpResponse.BodySubscriber;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Flow;
import java.util.concurrent.locks.ReentrantLock;
import java.util.zip.CRC32C;

/// The body of one ranged GET on its way to its place in the file: bytes are written as they come, and each
/// piece is
/// checked and announced the moment it is whole.
///
/// At most one delivery of the client's small buffers is in memory at a time.
final class PartBody implements BodySubscriber<String> {
    private final Blob blob;
    private final PieceSink sink;
    private final long end;
    private final CompletableFuture<String> done = new CompletableFuture<>();
    /// Held while bytes are written, so that [#abandon] can wait for that.
    private final ReentrantLock lock = new ReentrantLock();

    private final CRC32C crc = new CRC32C();
    private long position;
    private int piece;
    private volatile long lastProgress = System.nanoTime();
    private Flow.Subscription subscription;

    /// Hears of pieces that are written and as they should be.
    @FunctionalInterface
    interface PieceSink {
        void landed(int piece, int sum);
    }

    /// @param from first piece of the range
    /// @param to first piece after it
    PartBody(Blob blob, int from, int to, PieceSink sink) {
        this.blob = blob;
        this.sink = sink;
        this.piece = from;
        this.position = (long) from * blob.pieceSize();
        this.end = Math.min((long) to * blob.pieceSize(), blob.file().size());
    }

    @Override
    public CompletionStage<String> getBody() {
        return done;
    }

    /// @return how long no byte has come
    Duration silence() {
        return Duration.ofNanos(System.nanoTime() - lastProgress);
    }

    @Override
    public void onSubscribe(Flow.Subscription given) {
        subscription = given;
        lastProgress = System.nanoTime();
        given.request(1);
    }

    @Override
    public void onNext(List<ByteBuffer> buffers) {
        lock.lock();
        try {
            if (done.isDone()) {
                return;
            }
            for (ByteBuffer buffer : buffers) {
                accept(buffer);
            }
            lastProgress = System.nanoTime();
            subscription.request(1);
        } catch (RuntimeException e) {
            subscription.cancel();
            done.completeExceptionally(e);
        } finally {
            lock.unlock();
        }
    }

    /// Gives up: once it returns, nothing more is written.
    void abandon(RuntimeException reason) {
        lock.lock();
        try {
            done.completeExceptionally(reason);
        } finally {
            lock.unlock();
        }
    }

    private void accept(ByteBuffer buffer) {
        while (buffer.hasRemaining()) {
            if (position >= end) {
                throw new TransientFailure("range", "more bytes than were asked for");
            }
            long pieceEnd = Math.min((long) (piece + 1) * blob.pieceSize(), end);
            int count = (int) Math.min(buffer.remaining(), pieceEnd - position);
            ByteBuffer slice = buffer.slice(buffer.position(), count);
            crc.update(slice.duplicate());
            blob.write(slice, position);
            buffer.position(buffer.position() + count);
            position += count;
            if (position == pieceEnd) {
                sink.landed(piece, (int) crc.getValue());
                crc.reset();
                piece++;
            }
        }
    }

    @Override
    public void onError(Throwable failure) {
        done.completeExceptionally(failure);
    }

    @Override
    public void onComplete() {
        if (position == end) {
            done.complete("");
        } else {
            done.completeExceptionally(
                    new TransientFailure("truncated", "the body ends " + (end - position) + " bytes too soon"));
        }
    }
}
