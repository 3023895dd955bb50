package io.penstock.emulator;

import java.time.Duration;
import java.util.function.IntToLongFunction;

/// What lies between the client and the service: holds for every read of an object, whatever fault strikes
/// it besides.
///
/// @param latency before an answer begins
/// @param bytesPerSecond of a connection, by its number (they are counted from 0 as they come); 0 for no
///     limit
public record Link(Duration latency, IntToLongFunction bytesPerSecond) {
    /// Loopback as it is.
    public static final Link DIRECT = new Link(Duration.ZERO, _ -> 0);

    /// The same for every connection.
    public static Link of(Duration latency, long bytesPerSecond) {
        return new Link(latency, _ -> bytesPerSecond);
    }
}
