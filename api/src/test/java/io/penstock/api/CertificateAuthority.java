package io.penstock.api;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;

/// An authority that signs certificates for the time of a test, by the JDK's keytool.
public final class CertificateAuthority {
    private static final String PASSWORD = "for-tests-only";
    private static final String AUTHORITY = "authority";

    private final Path keys;

    /// @param folder a new authority's keys go there
    public CertificateAuthority(Path folder) throws IOException, InterruptedException {
        keys = folder.resolve("authority.p12");
        generate(AUTHORITY, "-ext", "bc:c");
    }

    /// Signs a new key and writes what [MutualTls#read(Path)] reads.
    ///
    /// @param host that the certificate is for, beside 127.0.0.1
    public void issue(Path folder, String host) throws IOException, InterruptedException, GeneralSecurityException {
        String alias = "issued" + System.nanoTime();
        generate(alias, "-signer", AUTHORITY, "-ext", "san=dns:" + host + ",ip:127.0.0.1");
        KeyStore store = KeyStore.getInstance("PKCS12");
        try (InputStream in = Files.newInputStream(keys)) {
            store.load(in, PASSWORD.toCharArray());
        }
        Files.createDirectories(folder);
        write(
                folder.resolve(MutualTls.KEY),
                "PRIVATE KEY",
                store.getKey(alias, PASSWORD.toCharArray()).getEncoded());
        write(
                folder.resolve(MutualTls.CERTIFICATE),
                "CERTIFICATE",
                store.getCertificate(alias).getEncoded());
        write(
                folder.resolve(MutualTls.TRUST),
                "CERTIFICATE",
                store.getCertificate(AUTHORITY).getEncoded());
    }

    private static void write(Path file, String kind, byte[] content) throws IOException {
        String base64 = Base64.getMimeEncoder(64, new byte[] {'\n'}).encodeToString(content);
        Files.writeString(file, "-----BEGIN %1$s-----\n%2$s\n-----END %1$s-----\n".formatted(kind, base64));
    }

    private void generate(String alias, String... more) throws IOException, InterruptedException {
        List<String> line = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "keytool").toString(),
                "-J-XX:TieredStopAtLevel=1",
                "-genkeypair",
                "-alias",
                alias,
                "-keyalg",
                "EC",
                "-dname",
                "CN=" + alias,
                "-validity",
                "2",
                "-storetype",
                "PKCS12",
                "-keystore",
                keys.toString(),
                "-storepass",
                PASSWORD));
        line.addAll(List.of(more));
        Process keytool = new ProcessBuilder(line).redirectErrorStream(true).start();
        String output = new String(keytool.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        if (keytool.waitFor() != 0) {
            throw new IllegalStateException("keytool: " + output);
        }
    }
}
