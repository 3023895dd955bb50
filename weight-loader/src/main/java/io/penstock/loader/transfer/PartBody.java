package io.penstock.loader.transfer;

import io.penstock.loader.cache.Blob;
import io.penstock.loader.source.RemoteHttp;
import io.penstock.loader.source.TransientFailure;
import io.penstock.loader.wire.Receiver;
import io.penstock.model.PenstockException;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.net.http.HttpHeaders;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.locks.ReentrantLock;
import java.util.zip.CRC32C;

/// The answer to one ranged GET on its way to its place in the file: bytes are written as they come,
/// out of the buffer that the socket was read into, and each piece is checked and announced the moment
/// it is whole.
final class PartBody implements Receiver {
    private static final int MAX_ERROR_BODY = 1 << 16;

    private final String what;
    private final String host;
    private final Blob blob;
    private final PieceSink sink;
    private final Pace pace;
    private final boolean replaceable;
    private final long begin;
    private final long end;
    private final CompletableFuture<Void> done = new CompletableFuture<>();
    /// Held while bytes are written, so that [#abandon] can wait for that.
    private final ReentrantLock lock = new ReentrantLock();

    private final long started = System.nanoTime();
    private final CRC32C crc = new CRC32C();
    private volatile long position;
    private int piece;
    private volatile long lastProgress = started;
    private int status;
    private HttpHeaders headers;
    private final ByteArrayOutputStream errorBody = new ByteArrayOutputStream();

    /// Hears of pieces that are written and as they should be.
    @FunctionalInterface
    interface PieceSink {
        void landed(int piece, int sum);
    }

    /// @param what for messages
    /// @param from first piece of the range
    /// @param to first piece after it
    /// @param replaceable whether it may be given up for being slow
    PartBody(String what, String host, Blob blob, int from, int to, boolean replaceable, Pace pace, PieceSink sink) {
        this.what = what;
        this.host = host;
        this.blob = blob;
        this.sink = sink;
        this.pace = pace;
        this.replaceable = replaceable;
        this.piece = from;
        this.begin = (long) from * blob.pieceSize();
        this.position = begin;
        this.end = Math.min((long) to * blob.pieceSize(), blob.file().size());
    }

    CompletableFuture<Void> done() {
        return done;
    }

    String host() {
        return host;
    }

    boolean isReplaceable() {
        return replaceable;
    }

    long ageNanos() {
        return System.nanoTime() - started;
    }

    /// @return bytes a second since the request was made
    double rate() {
        return Pace.perSecond(position - begin, ageNanos());
    }

    /// @return how long no byte has come
    Duration silence() {
        return Duration.ofNanos(System.nanoTime() - lastProgress);
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

    @Override
    public void head(int given, HttpHeaders answered) {
        status = given;
        headers = answered;
        lastProgress = System.nanoTime();
        RuntimeException wrong = switch (given) {
            case 206 -> wrongRange();
            case 200 -> wrongWhole();
            default -> null;
        };
        if (wrong == null && isContent()) {
            wrong = wrongVersion();
        }
        if (wrong != null) {
            throw wrong;
        }
    }

    private boolean isContent() {
        return status == 206 || status == 200;
    }

    private RuntimeException wrongRange() {
        String expected = "bytes " + begin + "-" + (end - 1) + "/" + blob.file().size();
        String given = headers.firstValue("content-range").orElse("");
        return given.equals(expected)
                ? null
                : new TransientFailure("range", what + ": answered with '" + given + "', not '" + expected + "'");
    }

    private RuntimeException wrongWhole() {
        long given = headers.firstValueAsLong("content-length").orElse(-1);
        return begin == 0 && end == blob.file().size() && given == end
                ? null
                : new TransientFailure("range", what + ": the range was ignored, 200 instead of 206");
    }

    private RuntimeException wrongVersion() {
        String pinned = blob.file().etag().orElse(null);
        String given = headers.firstValue("etag").orElse(pinned);
        return pinned == null || pinned.equals(given) ? null : RemoteHttp.changed(what, given, pinned);
    }

    @Override
    public void bytes(ByteBuffer buffer) {
        lock.lock();
        try {
            if (done.isDone()) {
                throw new IllegalStateException("abandoned");
            }
            lastProgress = System.nanoTime();
            if (isContent()) {
                accept(buffer);
            } else if (errorBody.size() < MAX_ERROR_BODY) {
                byte[] some = new byte[Math.min(buffer.remaining(), MAX_ERROR_BODY - errorBody.size())];
                buffer.get(some);
                errorBody.writeBytes(some);
            }
        } finally {
            lock.unlock();
        }
    }

    private void accept(ByteBuffer buffer) {
        long at = position;
        while (buffer.hasRemaining()) {
            if (at >= end) {
                throw new TransientFailure("range", what + ": more bytes than were asked for");
            }
            long pieceEnd = Math.min((long) (piece + 1) * blob.pieceSize(), end);
            int count = (int) Math.min(buffer.remaining(), pieceEnd - at);
            ByteBuffer slice = buffer.slice(buffer.position(), count);
            crc.update(slice.duplicate());
            blob.write(slice, at);
            buffer.position(buffer.position() + count);
            at += count;
            position = at;
            pace.count(count);
            if (at == pieceEnd) {
                sink.landed(piece, (int) crc.getValue());
                crc.reset();
                piece++;
            }
        }
    }

    @Override
    public void end() {
        if (!isContent()) {
            done.completeExceptionally(
                    RemoteHttp.failure(what, status, headers, errorBody.toString(StandardCharsets.UTF_8)));
        } else if (position == end) {
            done.complete(null);
        } else {
            done.completeExceptionally(new TransientFailure(
                    "truncated", what + ": the body ends " + (end - position) + " bytes too soon"));
        }
    }

    @Override
    public void broken(Throwable failure) {
        done.completeExceptionally(
                switch (failure) {
                    case TransientFailure known -> known;
                    case PenstockException known -> known;
                    case EOFException e -> transientFailure("truncated", e);
                    case IOException e -> transientFailure("reset", e);
                    default -> failure;
                });
    }

    private TransientFailure transientFailure(String kind, IOException cause) {
        return new TransientFailure(kind, Duration.ZERO, what + ": " + RemoteHttp.describe(cause), cause);
    }
}
