package io.penstock.shard.collective.tcp;

import io.penstock.shard.collective.PeerException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.util.ArrayDeque;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/// Sends frames without making the step loop wait for the receiver. Small ones go straight to the socket;
/// what the socket does not take at once is left to a thread of its own, so that it flows while the step
/// loop computes.
final class Outbox implements AutoCloseable {
    // 8 MiB: 512 tokens of 4,096 floats.
    private static final int MAX_QUEUED = 64;

    private final Link link;
    private final long timeoutNanos;
    private final Pulse pulse;
    private final Selector selector;
    private final Thread pump;

    // Guards all below.
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    // The head stays in the queue until it is written whole: an empty queue means an idle pump.
    private final ArrayDeque<ByteBuffer> queue = new ArrayDeque<>(MAX_QUEUED);
    private final ArrayDeque<ByteBuffer> free = new ArrayDeque<>(MAX_QUEUED);
    private PeerException failure;
    private boolean closed;

    Outbox(Link link, long timeoutNanos, Pulse pulse) throws IOException {
        this.pulse = pulse;
        this.link = link;
        this.timeoutNanos = timeoutNanos;
        selector = Selector.open();
        link.register(selector);
        pump = Thread.ofPlatform()
                .daemon()
                .name("outbox-%d-%d".formatted(link.peer.ppStage(), link.peer.tpRank()))
                .unstarted(this::pump);
        pump.start();
    }

    /// Sends the frame that is sealed in the link.
    ///
    /// @throws PeerException if an earlier one could not be sent, or the queue stayed full past the deadline
    void send() {
        lock.lock();
        try {
            if (failure == null && !closed && queue.isEmpty()) {
                while (!link.written() && link.write()) {
                    // Until the frame or the socket's room ends.
                }
                if (link.written()) {
                    return;
                }
            }
            awaitRoom();
            if (failure != null) {
                throw failure;
            }
            if (closed) {
                throw new PeerException(link.peer.tpRank(), link.peer.ppStage(), "was left: the epoch is over", null);
            }
            ByteBuffer copy = free.isEmpty() ? Link.buffer() : free.pop();
            copy.clear().put(link.unwritten()).flip();
            queue.add(copy);
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    // Without a deadline of its own: the pump finds out when the receiver is gone.
    private void awaitRoom() {
        try {
            while (failure == null && !closed && queue.size() >= MAX_QUEUED) {
                changed.await();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new PeerException(link.peer.tpRank(), link.peer.ppStage(), "was left: interrupted", e);
        }
    }

    private void pump() {
        try {
            while (true) {
                ByteBuffer next = head();
                if (next == null) {
                    return;
                }
                write(next);
                lock.lock();
                try {
                    free.push(queue.remove());
                    changed.signalAll();
                } finally {
                    lock.unlock();
                }
            }
        } catch (IOException | RuntimeException e) {
            lock.lock();
            try {
                failure = e instanceof PeerException peer ? peer : link.lost(e);
                changed.signalAll();
            } finally {
                lock.unlock();
            }
        }
    }

    private ByteBuffer head() {
        lock.lock();
        try {
            while (queue.isEmpty() && !closed) {
                changed.awaitUninterruptibly();
            }
            return closed ? null : queue.peek();
        } finally {
            lock.unlock();
        }
    }

    private void write(ByteBuffer frame) throws IOException {
        long deadline = System.nanoTime() + timeoutNanos;
        link.interest(SelectionKey.OP_WRITE);
        while (frame.hasRemaining()) {
            if (link.channel.write(frame) > 0) {
                deadline = System.nanoTime() + timeoutNanos;
                continue;
            }
            long left = deadline - System.nanoTime();
            if (left <= 0) {
                if (!pulse.felt(link.peer)) {
                    throw silent();
                }
                deadline = System.nanoTime() + timeoutNanos;
                continue;
            }
            selector.select(TimeUnit.NANOSECONDS.toMillis(left) + 1);
            selector.selectedKeys().clear();
        }
    }

    private PeerException silent() {
        return new PeerException(
                link.peer.tpRank(),
                link.peer.ppStage(),
                "took nothing for %d ms".formatted(TimeUnit.NANOSECONDS.toMillis(timeoutNanos)),
                null);
    }

    @Override
    public void close() {
        lock.lock();
        try {
            closed = true;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
        PeerListener.closeQuietly(link.channel);
        PeerListener.closeQuietly(selector);
    }
}
