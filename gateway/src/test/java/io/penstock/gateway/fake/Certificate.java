package io.penstock.gateway.fake;

import io.penstock.api.CertificateAuthority;
import io.penstock.api.MutualTls;
import io.quarkus.test.common.QuarkusTestResourceLifecycleManager;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.Comparator;
import java.util.Map;
import java.util.stream.Stream;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/// A key and its certificate for `localhost`, made for one run of the tests, with which the gateway
/// serves HTTPS beside HTTP, and gRPC over TLS.
public final class Certificate implements QuarkusTestResourceLifecycleManager {
    private static final String PROPERTY = "penstock.test.keys";

    private Path folder;

    @Override
    public Map<String, String> start() {
        try {
            folder = Files.createTempDirectory("penstock-keys");
            new CertificateAuthority(folder).issue(folder, "localhost");
            System.setProperty(PROPERTY, folder.toString());
            String certificate = folder.resolve(MutualTls.CERTIFICATE).toString();
            String key = folder.resolve(MutualTls.KEY).toString();
            return Map.of(
                    "quarkus.tls.public.key-store.pem.0.cert",
                    certificate,
                    "quarkus.tls.public.key-store.pem.0.key",
                    key,
                    "quarkus.http.tls-configuration-name",
                    "public",
                    "quarkus.http.test-ssl-port",
                    "0",
                    "quarkus.grpc.server.plain-text",
                    "false",
                    "quarkus.grpc.server.ssl.certificate",
                    certificate,
                    "quarkus.grpc.server.ssl.key",
                    key);
        } catch (IOException | GeneralSecurityException e) {
            throw new IllegalStateException("no certificate for the tests", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        }
    }

    /// Trust in the authority that signed the certificate, and in no other.
    public static TrustManagerFactory trust() {
        try (InputStream in = Files.newInputStream(Path.of(System.getProperty(PROPERTY), MutualTls.TRUST))) {
            KeyStore trusted = KeyStore.getInstance("PKCS12");
            trusted.load(null, null);
            trusted.setCertificateEntry(
                    "authority", CertificateFactory.getInstance("X.509").generateCertificate(in));
            TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
            trust.init(trusted);
            return trust;
        } catch (IOException | GeneralSecurityException e) {
            throw new IllegalStateException(e);
        }
    }

    /// For a client that trusts it.
    public static SSLContext context() {
        try {
            SSLContext context = SSLContext.getInstance("TLS");
            context.init(null, trust().getTrustManagers(), null);
            return context;
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException(e);
        }
    }

    @Override
    public void stop() {
        System.clearProperty(PROPERTY);
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
