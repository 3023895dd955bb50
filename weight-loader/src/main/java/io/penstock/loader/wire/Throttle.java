package io.penstock.loader.wire;

import java.util.concurrent.atomic.AtomicLong;

/// A limit to the bytes that all connections together take in a second.
public final class Throttle {
    /// So much may come at once after a pause.
    private static final long BURST_NANOS = 50_000_000;

    private final long bytesPerSecond;
    /// When everything that was taken so far is paid for, on the monotonic clock.
    private final AtomicLong paid = new AtomicLong(System.nanoTime());

    /// @param bytesPerSecond 0 for no limit
    public Throttle(long bytesPerSecond) {
        this.bytesPerSecond = bytesPerSecond;
    }

    /// Takes note of bytes that have come.
    ///
    /// @return nanoseconds until more may be read; 0 or less for now
    long take(long bytes) {
        if (bytesPerSecond == 0) {
            return 0;
        }
        long now = System.nanoTime();
        long cost = (long) (bytes * 1e9 / bytesPerSecond);
        long until = paid.updateAndGet(before -> Math.max(before, now - BURST_NANOS) + cost);
        return until - now;
    }
}
