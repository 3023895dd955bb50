package io.penstock.gateway.access;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.time.Duration;

/// No room for a request now, and when there may be.
public final class BusyException extends PenstockException {
    private static final Duration LONGEST = Duration.ofMinutes(5);

    private final Duration retryAfter;

    /// @param retryAfter cut to what a client should be told at most
    public BusyException(Duration retryAfter, PenstockException cause) {
        super(ErrorCategory.OVERLOADED, cause, "%s", cause.getMessage());
        this.retryAfter = retryAfter.compareTo(LONGEST) < 0 ? retryAfter : LONGEST;
    }

    /// More than zero.
    public Duration retryAfter() {
        return retryAfter;
    }
}
