package io.penstock.loader.cache;

import io.penstock.loader.verify.Checksum;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Optional;

/// The cryptographic digest of a file whose pieces come in any order: it follows the front of those that are there,
/// and reads them while the page cache still has them. So the last piece does not begin a second reading of the whole.
///
/// One thread at a time.
public final class RunningDigest {
    private static final int READ_SIZE = 1 << 20;

    private final Blob blob;
    private final String expected;
    private final MessageDigest digest;
    private final ByteBuffer buffer = ByteBuffer.allocate(READ_SIZE);
    private int next;

    private RunningDigest(Blob blob, String expected, MessageDigest digest) {
        this.blob = blob;
        this.expected = expected;
        this.digest = digest;
    }

    /// @return empty where the source has no such digest of the file
    public static Optional<RunningDigest> of(Blob blob) {
        return blob.file().checksum().flatMap(checksum -> of(blob, checksum));
    }

    private static Optional<RunningDigest> of(Blob blob, Checksum checksum) {
        return switch (checksum) {
            case Checksum.Crc32cSum _ -> Optional.empty();
            case Checksum.Sha256(var hex) -> Optional.of(new RunningDigest(blob, hex, digest("SHA-256")));
            case Checksum.GitBlob(var hex) -> {
                MessageDigest sha1 = digest("SHA-1");
                sha1.update(("blob " + blob.file().size() + "\0").getBytes(StandardCharsets.UTF_8));
                yield Optional.of(new RunningDigest(blob, hex, sha1));
            }
        };
    }

    private static MessageDigest digest(String algorithm) {
        try {
            return MessageDigest.getInstance(algorithm);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has " + algorithm, e);
        }
    }

    /// @return the first piece that is not in it
    public int next() {
        return next;
    }

    public boolean isWhole() {
        return next == blob.pieces();
    }

    /// Takes pieces up to `to` (exclusive) in; they must be present.
    public void take(int to) {
        long position = (long) next * blob.pieceSize();
        long end = Math.min((long) to * blob.pieceSize(), blob.file().size());
        while (position < end) {
            int count = blob.read(buffer.clear().limit((int) Math.min(READ_SIZE, end - position)), position);
            if (count == 0) {
                // Shorter than it was: the digest will say so.
                break;
            }
            digest.update(buffer.flip());
            position += count;
        }
        next = to;
    }

    /// @return whether the whole is what the source says
    public boolean matches() {
        return HexFormat.of().formatHex(digest.digest()).equals(expected);
    }
}
