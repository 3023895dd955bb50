package io.penstock.gateway.openai;

import io.vertx.core.buffer.Buffer;
import io.vertx.core.http.HttpServerResponse;
import java.time.Duration;
import java.util.concurrent.CancellationException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/// A response that is written piece by piece, by one thread, no faster than its reader reads.
final class EventStream {
    /// Bytes that may wait in this process for the connection.
    private static final int QUEUE = 32 << 10;

    private final HttpServerResponse response;
    private final Reader reader;
    private final long stallNanos;

    /// Guards nothing but the condition that there is room, or nobody to write for.
    private final ReentrantLock lock = new ReentrantLock();

    private final Condition changed = lock.newCondition();

    EventStream(HttpServerResponse response, Reader reader, Duration stallTimeout) {
        this.response = response;
        this.reader = reader;
        this.stallNanos = stallTimeout.toNanos();
        response.setChunked(true);
        response.setWriteQueueMaxSize(QUEUE);
        response.drainHandler(drained -> wake());
        reader.onceOver(this::wake);
    }

    /// @throws CancellationException if the reader is gone, or has let the stream stand still for too long
    void write(byte[] bytes) throws InterruptedException {
        awaitRoom();
        response.write(Buffer.buffer(bytes));
    }

    /// In one piece with the end of the body: a client that stops reading at `[DONE]` then has that end too, and keeps
    /// its connection.
    ///
    /// @throws CancellationException as of [#write]
    void end(byte[] last) throws InterruptedException {
        awaitRoom();
        response.end(Buffer.buffer(last));
    }

    /// Ends the connection without an end of the answer.
    void cut() {
        if (!reader.isGone()) {
            response.reset();
        }
    }

    private void awaitRoom() throws InterruptedException {
        lock.lock();
        try {
            long left = stallNanos;
            while (!reader.isGone() && response.writeQueueFull()) {
                if (left <= 0) {
                    throw new CancellationException(
                            "the reader stood still for %d ms".formatted(TimeUnit.NANOSECONDS.toMillis(stallNanos)));
                }
                left = changed.awaitNanos(left);
            }
        } finally {
            lock.unlock();
        }
        if (reader.isGone()) {
            throw new CancellationException("the reader is gone");
        }
    }

    private void wake() {
        lock.lock();
        try {
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }
}
