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
    private final long stallNanos;

    /// Guards nothing but the condition; `closed` is set under it so that no wake-up is missed.
    private final ReentrantLock lock = new ReentrantLock();

    private final Condition changed = lock.newCondition();
    private volatile boolean closed;

    EventStream(HttpServerResponse response, Duration stallTimeout) {
        this.response = response;
        this.stallNanos = stallTimeout.toNanos();
    }

    /// Called once the connection is known, before the first [#write].
    void open() {
        response.setChunked(true);
        response.setWriteQueueMaxSize(QUEUE);
        response.drainHandler(drained -> wake());
    }

    /// The reader is gone.
    void closed() {
        closed = true;
        wake();
    }

    boolean isClosed() {
        return closed;
    }

    /// @throws CancellationException if the reader is gone, or has let the stream stand still for too long
    void write(Buffer bytes) throws InterruptedException {
        awaitRoom();
        response.write(bytes);
    }

    private void awaitRoom() throws InterruptedException {
        lock.lock();
        try {
            long left = stallNanos;
            while (!closed && response.writeQueueFull()) {
                if (left <= 0) {
                    throw new CancellationException(
                            "the reader stood still for %d ms".formatted(TimeUnit.NANOSECONDS.toMillis(stallNanos)));
                }
                left = changed.awaitNanos(left);
            }
        } finally {
            lock.unlock();
        }
        if (closed) {
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
