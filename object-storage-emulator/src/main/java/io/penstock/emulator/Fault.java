package io.penstock.emulator;

import java.time.Duration;
import java.util.Optional;

/// Something that goes wrong with a GET of an object, and some of it with an upload, too. Switched on through
/// [Faults].
public sealed interface Fault {
    /// The answer comes late.
    record Latency(Duration delay) implements Fault {}

    /// The service refuses for now.
    ///
    /// @param status 429 or a 5xx
    /// @param retryAfter the header's value, where there is one
    record Refusal(int status, Optional<Duration> retryAfter) implements Fault {}

    /// Headers are right, but the connection ends after so many bytes of the body.
    record Truncation(long bytes) implements Fault {}

    /// The range is ignored: 200 and the whole object instead of 206 and a part.
    record IgnoredRange() implements Fault {}

    /// 206 with a right length, but of bytes that begin so far from where they were asked for.
    record ShiftedRange(long shift) implements Fault {}

    /// The connection is reset (RST) after so many bytes of the body; headers are sent first unless it is
    /// negative.
    record Reset(long bytes) implements Fault {}

    /// One byte of the body is inverted; length and headers are right.
    ///
    /// @param position within the body
    record Corruption(long position) implements Fault {}

    /// The body stops after so many bytes, and the connection stays open in silence.
    record Stall(long bytes) implements Fault {}

    /// Somebody replaces the object (same size, every byte inverted) before this read is answered.
    record Replacement() implements Fault {}

    /// The signature is refused although it is right, as one is whose key was rotated or whose token has
    /// expired.
    record ExpiredCredentials() implements Fault {}
}
