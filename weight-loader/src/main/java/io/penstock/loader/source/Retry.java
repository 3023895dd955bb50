package io.penstock.loader.source;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.time.Duration;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Consumer;
import java.util.function.Supplier;

/// Repeats what failed for a moment: exponential back-off with full jitter, never sooner than the server asked.
///
/// @param attempts in all, > 0
/// @param base the first wait is up to this long
/// @param longest no wait is longer, whatever the server asks
/// @param onRetry hears the kind of each failure that is repeated
public record Retry(int attempts, Duration base, Duration longest, Consumer<String> onRetry) {
    public Retry {
        if (attempts < 1 || base.isNegative() || longest.compareTo(base) < 0) {
            throw new IllegalArgumentException("retry of " + attempts + ", " + base + " up to " + longest);
        }
    }

    /// Blocks the calling thread, which should be a virtual one.
    ///
    /// @param what for the message
    /// @param progress grows as attempts achieve something; one that did does not count against the limit
    /// @throws PenstockException UNAVAILABLE when the last attempt has failed, CORRUPT when it was for wrong bytes
    public <T> T call(String what, Supplier<Long> progress, Supplier<T> attempt) {
        int failures = 0;
        long before = progress.get();
        while (true) {
            try {
                return attempt.get();
            } catch (TransientFailure e) {
                long after = progress.get();
                failures = after > before ? 1 : failures + 1;
                before = after;
                if (failures >= attempts) {
                    throw new PenstockException(
                            e.kind().equals("checksum") ? ErrorCategory.CORRUPT : ErrorCategory.UNAVAILABLE,
                            e,
                            "%s: given up after %d attempts: %s",
                            what,
                            failures,
                            e.getMessage());
                }
                onRetry.accept(e.kind());
                pause(what, wait(failures, e.retryAfter()));
            }
        }
    }

    public <T> T call(String what, Supplier<T> attempt) {
        return call(what, () -> 0L, attempt);
    }

    private Duration wait(int failures, Duration asked) {
        long ceiling = Math.min(longest.toMillis(), base.toMillis() << Math.min(failures - 1, 20));
        long jittered = ThreadLocalRandom.current().nextLong(ceiling + 1);
        return Duration.ofMillis(Math.min(longest.toMillis(), asked.toMillis() + jittered));
    }

    private static void pause(String what, Duration wait) {
        try {
            Thread.sleep(wait);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new PenstockException(ErrorCategory.UNAVAILABLE, e, "%s: stopped", what);
        }
    }
}
