package io.penstock.loader.transfer;

import java.time.Duration;

/// @param partSize bytes of one GET, at most; at least one piece is asked for
/// @param connections how many GETs run at once, over all files
/// @param stallTimeout a GET without a byte for so long is given up and repeated
public record TransferSettings(long partSize, int connections, Duration stallTimeout) {
    public TransferSettings {
        if (partSize < 1 || connections < 1 || !stallTimeout.isPositive()) {
            throw new IllegalArgumentException("part size %d, %d connections, stall timeout %s: all must be positive"
                    .formatted(partSize, connections, stallTimeout));
        }
    }
}
