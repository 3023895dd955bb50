package io.penstock.loader.transfer;

import io.penstock.loader.wire.WireClient;
import java.time.Duration;

/// @param firstPart bytes of a GET while nothing is known of the rate
/// @param partSize bytes of a GET, at most; at least one piece is asked for
/// @param partTime what a GET should take at the rate of its connection
/// @param connections how many GETs run at once, at most, over all files
/// @param memory bytes that the buffers of all connections may take
/// @param stallTimeout a GET without a byte for so long is given up and repeated
public record TransferSettings(
        long firstPart, long partSize, Duration partTime, int connections, long memory, Duration stallTimeout) {
    public TransferSettings {
        if (firstPart < 1
                || partSize < firstPart
                || !partTime.isPositive()
                || connections < 1
                || !stallTimeout.isPositive()) {
            throw new IllegalArgumentException(
                    "parts of %d to %d bytes or %s, %d connections, stall timeout %s: all must be positive"
                            .formatted(firstPart, partSize, partTime, connections, stallTimeout));
        }
        if (memory < WireClient.READ_SIZE) {
            throw new IllegalArgumentException(
                    "memory of %d bytes is less than the %d of one connection".formatted(memory, WireClient.READ_SIZE));
        }
    }

    /// @return GETs at once that the memory allows
    int parallel() {
        return (int) Math.min(connections, memory / WireClient.READ_SIZE);
    }
}
