package io.penstock.loader.source;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.smallrye.faulttolerance.api.CustomBackoffStrategy;
import io.smallrye.faulttolerance.api.Guard;
import java.time.Duration;
import java.time.temporal.ChronoUnit;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Consumer;
import java.util.function.Supplier;

/// Repeats what failed for a moment, by SmallRye Fault Tolerance: exponential back-off with full
/// jitter, never sooner than the server asked.
///
/// The guard counts and repeats; ours is only the wait between, because `Retry-After` is in the
/// failure, and what giving up means to a caller.
public final class Retry {
    private final Guard guard;
    private final int attempts;

    /// @param attempts in all, > 0
    /// @param base the first wait is up to this long
    /// @param longest no wait is longer, whatever the server asks
    /// @param onRetry hears the kind of each failure that is repeated
    public Retry(int attempts, Duration base, Duration longest, Consumer<String> onRetry) {
        if (attempts < 1 || base.isNegative() || longest.compareTo(base) < 0) {
            throw new IllegalArgumentException("retry of " + attempts + ", " + base + " up to " + longest);
        }
        this.attempts = attempts;
        this.guard = Guard.create()
                .withDescription("source")
                .withRetry()
                .maxRetries(attempts - 1)
                // Attempts are what is bounded: an hour of a large file is no failure.
                .maxDuration(0, ChronoUnit.MILLIS)
                .jitter(0, ChronoUnit.MILLIS)
                .retryOn(TransientFailure.class)
                .beforeRetry(failure -> {
                    // Called for what the interruption of a wait made of a failure, too.
                    if (failure instanceof TransientFailure transientFailure) {
                        onRetry.accept(transientFailure.kind());
                    }
                })
                .withCustomBackoff()
                .strategy(() -> new Backoff(base.toMillis(), longest.toMillis()))
                .done()
                .done()
                .build();
    }

    /// Blocks the calling thread, which should be a virtual one; an interrupt ends it, in a wait too.
    ///
    /// @param what for the message
    /// @throws PenstockException UNAVAILABLE when the last attempt has failed, CORRUPT when it was for
    ///     wrong bytes
    public <T> T call(String what, Class<T> type, Supplier<T> attempt) {
        try {
            return guard.call(attempt::get, type);
        } catch (TransientFailure e) {
            throw new PenstockException(
                    e.kind().equals("checksum") ? ErrorCategory.CORRUPT : ErrorCategory.UNAVAILABLE,
                    e,
                    "%s: given up after %d attempts: %s",
                    what,
                    attempts,
                    e.getMessage());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new PenstockException(ErrorCategory.UNAVAILABLE, e, "%s: stopped", what);
        } catch (RuntimeException e) {
            throw e;
        } catch (Exception e) {
            throw new PenstockException(ErrorCategory.INTERNAL, e, "%s: %s", what, e);
        }
    }

    /// The waits of one call.
    private static final class Backoff implements CustomBackoffStrategy {
        private static final int MAX_DOUBLINGS = 20;

        private final long base;
        private final long longest;
        private int failures;

        Backoff(long base, long longest) {
            this.base = base;
            this.longest = longest;
        }

        @Override
        public long nextDelayInMillis(Throwable failure) {
            long ceiling = Math.min(longest, base << Math.min(failures++, MAX_DOUBLINGS));
            long asked = failure instanceof TransientFailure known
                    ? known.retryAfter().toMillis()
                    : 0;
            return Math.min(longest, asked + ThreadLocalRandom.current().nextLong(ceiling + 1));
        }
    }
}
