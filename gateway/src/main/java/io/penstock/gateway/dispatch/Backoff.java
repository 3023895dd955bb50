package io.penstock.gateway.dispatch;

import java.time.Duration;
import java.util.concurrent.ThreadLocalRandom;

/// Delays that double from one failure to the next up to a bound, each drawn at random from its upper half, so that
/// many gateways that lost one scheduler do not come back as one.
final class Backoff {
    private static final long FIRST = Duration.ofMillis(40).toNanos();
    private static final long LONGEST = Duration.ofMillis(500).toNanos();

    private long ceiling = FIRST;

    long nextNanos() {
        long delay = ThreadLocalRandom.current().nextLong(ceiling / 2, ceiling + 1);
        ceiling = Math.min(LONGEST, 2 * ceiling);
        return delay;
    }

    void reset() {
        ceiling = FIRST;
    }
}
