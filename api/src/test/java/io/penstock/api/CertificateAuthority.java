package io.penstock.api;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;

/// An authority that signs certificates for the time of a test.
public final class CertificateAuthority {
    private static final String AUTHORITY = "authority";

    private final Keytool keys;

    /// @param folder a new authority's keys go there
    public CertificateAuthority(Path folder) throws IOException, InterruptedException {
        keys = new Keytool(folder.resolve("authority.p12"));
        keys.generate(AUTHORITY, "EC", "CN=" + AUTHORITY, "-ext", "bc:c");
    }

    /// Signs a new key and writes what [MutualTls#read(Path)] reads.
    ///
    /// @param host that the certificate is for, beside 127.0.0.1
    public void issue(Path folder, String host) throws IOException, InterruptedException, GeneralSecurityException {
        String alias = "issued" + System.nanoTime();
        keys.generate(alias, "EC", "CN=" + alias, "-signer", AUTHORITY, "-ext", "san=dns:" + host + ",ip:127.0.0.1");
        KeyStore.PrivateKeyEntry issued = keys.entry(alias);
        Files.createDirectories(folder);
        write(
                folder.resolve(MutualTls.KEY),
                "PRIVATE KEY",
                issued.getPrivateKey().getEncoded());
        write(
                folder.resolve(MutualTls.CERTIFICATE),
                "CERTIFICATE",
                issued.getCertificate().getEncoded());
        write(
                folder.resolve(MutualTls.TRUST),
                "CERTIFICATE",
                keys.entry(AUTHORITY).getCertificate().getEncoded());
    }

    private static void write(Path file, String kind, byte[] content) throws IOException {
        Files.writeString(file, Keytool.pem(kind, content));
    }
}
