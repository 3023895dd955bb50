package io.penstock.emulator;

import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Base64;
import java.util.zip.CRC32C;

/// The checksums that the service keeps of an upload, taken as its bytes pass.
final class ContentDigest {
    private final MessageDigest md5;
    private final CRC32C crc = new CRC32C();
    private long length;

    ContentDigest() {
        try {
            md5 = MessageDigest.getInstance("MD5");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has MD5", e);
        }
    }

    void update(ByteBuffer bytes) {
        length += bytes.remaining();
        md5.update(bytes.duplicate());
        crc.update(bytes);
    }

    /// Ends the digest.
    Checksums finish() {
        ByteBuffer value = ByteBuffer.allocate(Integer.BYTES).putInt((int) crc.getValue());
        return new Checksums(
                length,
                Base64.getEncoder().encodeToString(md5.digest()),
                Base64.getEncoder().encodeToString(value.array()));
    }

    /// @param md5 base64
    /// @param crc32c base64 of the four bytes, most significant first
    record Checksums(long length, String md5, String crc32c) {}
}
