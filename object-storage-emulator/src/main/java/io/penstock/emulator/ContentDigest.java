package io.penstock.emulator;

import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Base64;
import java.util.HexFormat;
import java.util.Optional;
import java.util.zip.CRC32C;

/// The checksums that the service keeps of an upload, taken as its bytes pass.
final class ContentDigest {
    private final MessageDigest md5;
    private final Optional<MessageDigest> sha256;
    private final CRC32C crc = new CRC32C();
    private long length;

    /// @param withSha256 whether that is to be known, too
    ContentDigest(boolean withSha256) {
        try {
            md5 = MessageDigest.getInstance("MD5");
            sha256 = withSha256 ? Optional.of(MessageDigest.getInstance("SHA-256")) : Optional.empty();
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has MD5 and SHA-256", e);
        }
    }

    void update(ByteBuffer bytes) {
        length += bytes.remaining();
        md5.update(bytes.duplicate());
        sha256.ifPresent(digest -> digest.update(bytes.duplicate()));
        crc.update(bytes);
    }

    /// Ends the digest.
    Checksums finish() {
        ByteBuffer value = ByteBuffer.allocate(Integer.BYTES).putInt((int) crc.getValue());
        return new Checksums(
                length,
                Base64.getEncoder().encodeToString(md5.digest()),
                Base64.getEncoder().encodeToString(value.array()),
                sha256.map(digest -> HexFormat.of().formatHex(digest.digest())));
    }

    /// @param md5 base64
    /// @param crc32c base64 of the four bytes, most significant first
    /// @param sha256 hex, where it was asked for
    record Checksums(long length, String md5, String crc32c, Optional<String> sha256) {}
}
