package io.penstock.gateway.access;

import io.penstock.gateway.config.GatewayConfig;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.quarkus.runtime.configuration.MemorySize;
import jakarta.enterprise.context.ApplicationScoped;
import jakarta.inject.Inject;
import java.time.Duration;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/// How many requests, and how many bytes of their bodies and of what is made of them, are in hand. There is no queue
/// here: what exceeds the bounds
/// is told to come back.
@ApplicationScoped
public class Capacity {
    private static final int HEAP_SHARE = 3;

    private final int maxRequests;
    private final long maxBytes;
    private final AtomicInteger requests = new AtomicInteger();
    private final AtomicLong bytes = new AtomicLong();

    /// Guards nothing but the condition that no request is in hand.
    private final ReentrantLock lock = new ReentrantLock();

    private final Condition idle = lock.newCondition();
    private volatile boolean closed;

    @Inject
    public Capacity(GatewayConfig config) {
        this(
                config.maxConcurrent(),
                config.maxBodiesHeld()
                        .map(MemorySize::asLongValue)
                        .orElse(Runtime.getRuntime().maxMemory() / HEAP_SHARE));
    }

    Capacity(int maxRequests, long maxBytes) {
        this.maxRequests = maxRequests;
        this.maxBytes = maxBytes;
    }

    /// To be followed by [#leave].
    ///
    /// @throws PenstockException (overloaded) if there is no room, (unavailable) if the gateway is stopping
    public void enter() {
        if (closed) {
            throw new PenstockException(ErrorCategory.UNAVAILABLE, "the gateway is stopping");
        }
        if (requests.incrementAndGet() > maxRequests) {
            requests.decrementAndGet();
            throw new PenstockException(
                    ErrorCategory.OVERLOADED, "%d requests are in hand, no more are taken", maxRequests);
        }
    }

    public void leave() {
        if (requests.decrementAndGet() == 0) {
            lock.lock();
            try {
                idle.signalAll();
            } finally {
                lock.unlock();
            }
        }
    }

    /// From now on nothing is taken.
    public void close() {
        closed = true;
    }

    public boolean isClosed() {
        return closed;
    }

    /// @return whether nothing is in hand any more
    public boolean awaitNone(Duration limit) throws InterruptedException {
        long left = limit.toNanos();
        lock.lock();
        try {
            while (requests.get() > 0 && left > 0) {
                left = idle.awaitNanos(left);
            }
            return requests.get() <= 0;
        } finally {
            lock.unlock();
        }
    }

    /// What can be held at most: more can never be.
    public long maxBytes() {
        return maxBytes;
    }

    /// To be followed by [#release].
    ///
    /// @throws PenstockException (overloaded) if there is no room
    public void hold(long count) {
        if (bytes.addAndGet(count) > maxBytes) {
            bytes.addAndGet(-count);
            throw new PenstockException(ErrorCategory.OVERLOADED, "too many bytes of requests are in hand");
        }
    }

    public void release(long count) {
        bytes.addAndGet(-count);
    }

    /// Requests in hand.
    public int requests() {
        return requests.get();
    }

    /// Bytes of bodies in hand.
    public long bytes() {
        return bytes.get();
    }
}
