package io.penstock.emulator;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Base64;
import java.util.HexFormat;
import java.util.UUID;

/// An API key of a made-up user: what the emulator checks signatures against and a client signs with.
///
/// @param tenancy OCID of the tenancy
/// @param user OCID of the user
/// @param fingerprint MD5 of the public key in DER form, colon-separated, as OCI's console shows it
/// @param keys RSA, 2048 bits
public record Credentials(String tenancy, String user, String fingerprint, KeyPair keys) {
    private static final int KEY_BITS = 2048;

    /// A fresh key under fresh OCIDs.
    public static Credentials generate() {
        try {
            KeyPairGenerator generator = KeyPairGenerator.getInstance("RSA");
            generator.initialize(KEY_BITS);
            KeyPair keys = generator.generateKeyPair();
            byte[] digest =
                    MessageDigest.getInstance("MD5").digest(keys.getPublic().getEncoded());
            return new Credentials(
                    "ocid1.tenancy.oc1.." + identifier(),
                    "ocid1.user.oc1.." + identifier(),
                    HexFormat.ofDelimiter(":").formatHex(digest),
                    keys);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has RSA and MD5", e);
        }
    }

    /// @return what a signed request names as its `keyId`
    public String keyId() {
        return tenancy + "/" + user + "/" + fingerprint;
    }

    /// Writes `config` and `key.pem` in the form of `~/.oci/config`, readable by their owner only.
    ///
    /// @param folder made where it is missing; files of these names in it are replaced
    /// @param region OCI's name of a region; it takes no part in reaching an emulator
    /// @return the config file, its profile is `DEFAULT`
    public Path writeConfigFile(Path folder, String region) throws IOException {
        Files.createDirectories(folder);
        Path key = folder.resolve("key.pem").toAbsolutePath();
        String encoded = Base64.getMimeEncoder(64, new byte[] {'\n'})
                .encodeToString(keys.getPrivate().getEncoded());
        writePrivately(key, "-----BEGIN PRIVATE KEY-----\n" + encoded + "\n-----END PRIVATE KEY-----\n");
        Path config = folder.resolve("config").toAbsolutePath();
        writePrivately(config, """
                [DEFAULT]
                user=%s
                fingerprint=%s
                tenancy=%s
                region=%s
                key_file=%s
                """.formatted(user, fingerprint, tenancy, region, key));
        return config;
    }

    private static void writePrivately(Path file, String content) throws IOException {
        Files.deleteIfExists(file);
        if (Files.getFileStore(file.getParent()).supportsFileAttributeView("posix")) {
            Files.createFile(file, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
        }
        Files.writeString(file, content, StandardCharsets.UTF_8);
    }

    private static String identifier() {
        return UUID.randomUUID().toString().replace("-", "");
    }
}
