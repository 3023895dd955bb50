package io.penstock.gateway.fake;

import io.quarkus.test.common.QuarkusTestResourceLifecycleManager;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.util.Map;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/// A key and its self-signed certificate for `localhost`, made for one run of the tests, with which the gateway serves
/// HTTPS beside HTTP, and gRPC over TLS.
public final class Certificate implements QuarkusTestResourceLifecycleManager {
    private static final String PROPERTY = "penstock.test.keys";
    private static final String ALIAS = "gateway";
    private static final String PASSWORD = "for-tests-only";

    private Path folder;

    @Override
    public Map<String, String> start() {
        try {
            folder = Files.createTempDirectory("penstock-keys");
            Path keys = folder.resolve("keys.p12");
            generate(keys);
            System.setProperty(PROPERTY, keys.toString());
            return Map.of(
                    "quarkus.tls.public.key-store.p12.path",
                    keys.toString(),
                    "quarkus.tls.public.key-store.p12.password",
                    PASSWORD,
                    "quarkus.http.tls-configuration-name",
                    "public",
                    "quarkus.http.test-ssl-port",
                    "0",
                    "quarkus.grpc.server.plain-text",
                    "false",
                    "quarkus.grpc.server.ssl.key-store",
                    keys.toString(),
                    "quarkus.grpc.server.ssl.key-store-type",
                    "PKCS12",
                    "quarkus.grpc.server.ssl.key-store-password",
                    PASSWORD);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        }
    }

    private static void generate(Path keys) throws IOException, InterruptedException {
        Process keytool = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "keytool")
                                .toString(),
                        "-genkeypair",
                        "-alias",
                        ALIAS,
                        "-keyalg",
                        "EC",
                        "-dname",
                        "CN=localhost",
                        "-ext",
                        "san=dns:localhost,ip:127.0.0.1",
                        "-validity",
                        "2",
                        "-storetype",
                        "PKCS12",
                        "-keystore",
                        keys.toString(),
                        "-storepass",
                        PASSWORD)
                .redirectErrorStream(true)
                .start();
        String output = new String(keytool.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        if (keytool.waitFor() != 0) {
            throw new IllegalStateException("keytool: " + output);
        }
    }

    /// Trust in the certificate, and in no other.
    public static TrustManagerFactory trust() {
        try (InputStream in = Files.newInputStream(Path.of(System.getProperty(PROPERTY)))) {
            KeyStore keys = KeyStore.getInstance("PKCS12");
            keys.load(in, PASSWORD.toCharArray());
            KeyStore trusted = KeyStore.getInstance("PKCS12");
            trusted.load(null, null);
            trusted.setCertificateEntry(ALIAS, keys.getCertificate(ALIAS));
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
        try {
            Files.deleteIfExists(folder.resolve("keys.p12"));
            Files.deleteIfExists(folder);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
