package io.penstock.loader.source;

import io.penstock.loader.verify.Checksum;
import io.penstock.loader.verify.PieceChecksums;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.util.Optional;

/// One file of a pinned revision.
///
/// @param name within the checkpoint
/// @param size in bytes
/// @param contentId equal only for equal bytes: a cryptographic digest, or place and ETag; the cache files
///     it by this
/// @param etag sent as `if-match` with every range; empty where the address itself is immutable
/// @param checksum of the whole file, where the source has one
/// @param pieces checksums of its pieces, where the source has them
public record RemoteFile(
        FileName name,
        long size,
        String contentId,
        Optional<String> etag,
        Optional<Checksum> checksum,
        Optional<PieceChecksums> pieces) {
    /// The largest object that OCI keeps.
    private static final long MAX_SIZE = 10L << 40;

    public RemoteFile {
        if (size < 0 || size > MAX_SIZE) {
            throw new PenstockException(
                    ErrorCategory.CORRUPT, "%s: size %d is not from 0 to %d bytes", name, size, MAX_SIZE);
        }
    }
}
