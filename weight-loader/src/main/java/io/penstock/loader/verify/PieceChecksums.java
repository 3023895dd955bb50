package io.penstock.loader.verify;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.nio.ByteBuffer;
import java.util.Base64;

/// CRC32C of each piece of one file, so that a range is verified before the rest of the file is there.
///
/// @param pieceSize in bytes, a power of two; the last piece may be shorter
/// @param values one a piece, in order
public record PieceChecksums(int pieceSize, int[] values) {
    public static final int MIN_PIECE = 1 << 16;
    public static final int MAX_PIECE = 1 << 26;

    public PieceChecksums {
        if (pieceSize < MIN_PIECE || pieceSize > MAX_PIECE || Integer.bitCount(pieceSize) != 1) {
            throw new PenstockException(
                    ErrorCategory.CORRUPT,
                    "a piece of %d bytes is not a power of two from %d to %d",
                    pieceSize,
                    MIN_PIECE,
                    MAX_PIECE);
        }
    }

    /// @param base64 the values, four bytes each, most significant first
    /// @param fileSize decides how many there must be
    public static PieceChecksums decode(int pieceSize, String base64, long fileSize) {
        byte[] bytes;
        try {
            bytes = Base64.getDecoder().decode(base64);
        } catch (IllegalArgumentException e) {
            throw new PenstockException(ErrorCategory.CORRUPT, e, "the checksums of pieces are not base64");
        }
        PieceChecksums checksums = new PieceChecksums(pieceSize, new int[bytes.length / Integer.BYTES]);
        ByteBuffer.wrap(bytes).asIntBuffer().get(checksums.values);
        long expected = Math.ceilDiv(fileSize, pieceSize);
        if (fileSize < 0 || bytes.length != expected * Integer.BYTES) {
            throw new PenstockException(
                    ErrorCategory.CORRUPT,
                    "%d bytes of checksums, a file of %d bytes has %d pieces",
                    bytes.length,
                    fileSize,
                    expected);
        }
        return checksums;
    }

    /// @return CRC32C of the whole file
    public int combined(long fileSize) {
        int sum = 0;
        for (int piece = 0; piece < values.length; piece++) {
            sum = Crc32c.combine(sum, values[piece], Math.min(pieceSize, fileSize - (long) piece * pieceSize));
        }
        return sum;
    }

    public String encode() {
        ByteBuffer bytes = ByteBuffer.allocate(values.length * Integer.BYTES);
        bytes.asIntBuffer().put(values);
        return Base64.getEncoder().encodeToString(bytes.array());
    }
}
