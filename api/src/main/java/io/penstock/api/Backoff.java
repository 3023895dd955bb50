package io.penstock.api;

import java.time.Duration;
import java.util.random.RandomGenerator;

/// Waits between attempts to reach a service: doubling up to a limit, each drawn from the upper
/// half of its span, so that all who lost one do not come back as one. Used by one thread at a
/// time.
public final class Backoff {
    private final long first;
    private final long longest;
    private final RandomGenerator random;
    private long ceiling;

    /// @param first more than zero
    /// @param longest no less than that
    public Backoff(Duration first, Duration longest, RandomGenerator random) {
        this.first = first.toNanos();
        this.longest = longest.toNanos();
        this.random = random;
        ceiling = this.first;
    }

    /// @return nanoseconds to wait before the next attempt
    public long nextNanos() {
        long delay = random.nextLong(ceiling / 2, ceiling + 1);
        ceiling = ceiling > longest / 2 ? longest : 2 * ceiling;
        return delay;
    }

    /// An attempt succeeded.
    public void reset() {
        ceiling = first;
    }
}
