package io.penstock.loader.verify;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.nio.ByteBuffer;
import java.util.Base64;

/// What a source says the bytes of a whole file must give.
public sealed interface Checksum {
    /// Castagnoli's CRC, as OCI Object Storage keeps it of a whole object.
    record Crc32cSum(int value) implements Checksum {
        @Override
        public String text() {
            byte[] bytes = ByteBuffer.allocate(Integer.BYTES).putInt(value).array();
            return "crc32c:" + Base64.getEncoder().encodeToString(bytes);
        }
    }

    /// @param hex 64 lower-case digits
    record Sha256(String hex) implements Checksum {
        public Sha256 {
            requireHex(hex, 64);
        }

        @Override
        public String text() {
            return "sha256:" + hex;
        }
    }

    /// The name that git gives a file: SHA-1 over `blob <size>`, a zero byte and the content. Hubs of
    /// models know only this of small files.
    ///
    /// @param hex 40 lower-case digits
    record GitBlob(String hex) implements Checksum {
        public GitBlob {
            requireHex(hex, 40);
        }

        @Override
        public String text() {
            return "git:" + hex;
        }
    }

    /// @return kind, colon, value: the form that [#parse] reads
    String text();

    /// @param text as [#text] wrote it
    /// @throws PenstockException CORRUPT when it is not
    static Checksum parse(String text) {
        int colon = text.indexOf(':');
        String value = text.substring(colon + 1);
        return switch (text.substring(0, Math.max(colon, 0))) {
            case "crc32c" -> crc32c(value);
            case "sha256" -> new Sha256(value);
            case "git" -> new GitBlob(value);
            default -> throw new PenstockException(ErrorCategory.CORRUPT, "'%s' is not a checksum", text);
        };
    }

    /// @param base64 four bytes, most significant first, as in the header `opc-content-crc32c`
    static Checksum crc32c(String base64) {
        try {
            byte[] bytes = Base64.getDecoder().decode(base64);
            if (bytes.length == Integer.BYTES) {
                return new Crc32cSum(ByteBuffer.wrap(bytes).getInt());
            }
        } catch (IllegalArgumentException e) {
            throw new PenstockException(ErrorCategory.CORRUPT, e, "'%s' is not a CRC32C in base64", base64);
        }
        throw new PenstockException(ErrorCategory.CORRUPT, "'%s' is not a CRC32C of four bytes", base64);
    }

    private static void requireHex(String hex, int digits) {
        if (hex.length() != digits || !hex.matches("[0-9a-f]+")) {
            throw new PenstockException(ErrorCategory.CORRUPT, "'%s' is not a digest of %d digits", hex, digits);
        }
    }
}
