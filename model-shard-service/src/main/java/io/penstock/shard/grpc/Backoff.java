package io.penstock.shard.grpc;

import java.time.Duration;
import java.util.random.RandomGenerator;

/// Waits between attempts: doubling up to a limit, each drawn from the upper half of its span, so that the
/// ranks of a group do not all dial at once.
final class Backoff {
    private final Duration first;
    private final Duration longest;
    private final RandomGenerator random;
    private int failures;

    Backoff(Duration first, Duration longest, RandomGenerator random) {
        this.first = first;
        this.longest = longest;
        this.random = random;
    }

    Duration next() {
        long span = first.toNanos() << Math.min(failures, 20);
        failures++;
        long nanos = span <= 0 ? longest.toNanos() : Math.min(span, longest.toNanos());
        return Duration.ofNanos(nanos / 2 + (long) (random.nextDouble() * (nanos / 2.0)));
    }

    /// An attempt succeeded.
    void reset() {
        failures = 0;
    }
}
