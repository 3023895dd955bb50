package io.penstock.loader.source;

import java.time.Duration;

/// An attempt that failed in a way that another one may not: to be repeated by [Retry].
public final class TransientFailure extends RuntimeException {
    /// Its connection brings far less than others do: not the service's fault, and another connection is at
    /// hand.
    public static final String SLOW = "slow";

    /// The service says that it is too much for now.
    public static final String THROTTLED = "throttled";

    /// The source refuses our credentials; those of a moment later may be others.
    public static final String CREDENTIALS = "credentials";

    private final String kind;
    private final Duration retryAfter;

    /// @param kind a short word for metrics: [#THROTTLED], `reset`, `stalled`, `truncated`, `checksum`,
    ///     `range`
    /// @param retryAfter what the server asks to wait, zero where it does not say
    public TransientFailure(String kind, Duration retryAfter, String message, Throwable cause) {
        super(message, cause);
        this.kind = kind;
        this.retryAfter = retryAfter;
    }

    public TransientFailure(String kind, String message) {
        this(kind, Duration.ZERO, message, null);
    }

    public String kind() {
        return kind;
    }

    public Duration retryAfter() {
        return retryAfter;
    }
}
