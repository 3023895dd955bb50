package io.penstock.loader.push;

import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;

/// @param root what may be pushed lies below it; empty where nothing may be
/// @param partSize bytes of a part of a multipart upload, at least; a smaller file is one PUT
/// @param pieceSize bytes that the manifest has a checksum for, a power of two; `partSize` is a multiple of it
/// @param connections PUTs at once
/// @param stallTimeout a PUT that takes no byte for so long is given up and repeated
public record PushSettings(Optional<Path> root, long partSize, int pieceSize, int connections, Duration stallTimeout) {
    private static final int MAX_PARTS = 10_000;

    public PushSettings {
        if (partSize < pieceSize || partSize % pieceSize != 0 || connections < 1 || !stallTimeout.isPositive()) {
            throw new IllegalArgumentException("parts of %d bytes in pieces of %d, %d connections, stall timeout %s"
                    .formatted(partSize, pieceSize, connections, stallTimeout));
        }
    }

    /// A multiple of the smallest part, so that the service's limit to their count is kept. The same for a file
    /// of the same size, so that an upload can be gone on with.
    long partSize(long fileSize) {
        return partSize * Math.max(1, Math.ceilDiv(fileSize, partSize * MAX_PARTS));
    }
}
