package io.penstock.emulator;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/// What has been read from the emulator: lets a test say how often, and how many bytes, a client has
/// fetched.
public final class Traffic {
    /// Guards the fields below.
    private final ReentrantLock lock = new ReentrantLock();

    private final Condition added = lock.newCondition();
    private final List<ObjectRead> reads = new ArrayList<>();
    private long bytes;

    void add(ObjectRead read, long sent) {
        lock.lock();
        try {
            reads.add(read);
            bytes += sent;
            added.signalAll();
        } finally {
            lock.unlock();
        }
    }

    /// @return the GETs of objects whose body was begun, in the order they were answered
    public List<ObjectRead> reads() {
        lock.lock();
        try {
            return List.copyOf(reads);
        } finally {
            lock.unlock();
        }
    }

    /// Waits until there are so many [#reads].
    ///
    /// @return false when that took longer
    public boolean awaitReads(int count, Duration patience) throws InterruptedException {
        long left = patience.toNanos();
        lock.lock();
        try {
            while (reads.size() < count) {
                if (left <= 0) {
                    return false;
                }
                left = added.awaitNanos(left);
            }
            return true;
        } finally {
            lock.unlock();
        }
    }

    /// @return bytes of bodies of objects
    public long bytes() {
        lock.lock();
        try {
            return bytes;
        } finally {
            lock.unlock();
        }
    }

    public void clear() {
        lock.lock();
        try {
            reads.clear();
            bytes = 0;
        } finally {
            lock.unlock();
        }
    }
}
