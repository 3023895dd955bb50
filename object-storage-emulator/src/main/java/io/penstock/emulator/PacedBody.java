package io.penstock.emulator;

import io.vertx.core.Future;
import io.vertx.core.Promise;
import io.vertx.core.Vertx;
import io.vertx.core.buffer.Buffer;
import io.vertx.core.http.HttpServerResponse;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;

/// A body that is sent no faster than a rate, a little every few milliseconds. On the connection's event
/// loop.
final class PacedBody {
    private static final long TICK_MILLIS = 10;
    private static final int LARGEST_WRITE = 1 << 20;

    private final HttpServerResponse response;
    private final FileChannel file;
    private final long begin;
    private final long end;
    private final long bytesPerSecond;
    private final long started = System.nanoTime();
    private final Promise<Void> sent = Promise.promise();
    private long position;

    private PacedBody(HttpServerResponse response, FileChannel file, long offset, long length, long bytesPerSecond) {
        this.response = response;
        this.file = file;
        this.begin = offset;
        this.position = offset;
        this.end = offset + length;
        this.bytesPerSecond = bytesPerSecond;
    }

    /// @param response whose headers are set
    static Future<Void> send(
            Vertx vertx, HttpServerResponse response, Path file, long offset, long length, long bytesPerSecond) {
        try {
            response.putHeader("content-length", Long.toString(length));
            PacedBody body = new PacedBody(response, FileChannel.open(file), offset, length, bytesPerSecond);
            long timer = vertx.setPeriodic(1, TICK_MILLIS, _ -> body.tick());
            return body.sent.future().eventually(() -> {
                vertx.cancelTimer(timer);
                return body.close();
            });
        } catch (IOException e) {
            return Future.failedFuture(e);
        }
    }

    private void tick() {
        if (sent.future().isComplete() || response.writeQueueFull()) {
            return;
        }
        if (response.closed()) {
            sent.tryFail(new EOFException("the client has left"));
            return;
        }
        long elapsed = System.nanoTime() - started + TICK_MILLIS * 1_000_000;
        long due = begin + (long) (bytesPerSecond * (elapsed / 1e9));
        try {
            while (position < Math.min(due, end)) {
                ByteBuffer some = ByteBuffer.allocate((int) Math.min(LARGEST_WRITE, Math.min(due, end) - position));
                while (some.hasRemaining()) {
                    if (file.read(some, position + some.position()) < 0) {
                        throw new EOFException("the object's file ends before " + end);
                    }
                }
                position += some.flip().limit();
                response.write(Buffer.buffer(some.array()));
            }
        } catch (IOException e) {
            sent.tryFail(e);
            return;
        }
        if (position == end) {
            response.end().onComplete(sent);
            position++;
        }
    }

    private Future<Void> close() {
        try {
            file.close();
            return Future.succeededFuture();
        } catch (IOException e) {
            return Future.failedFuture(e);
        }
    }
}
