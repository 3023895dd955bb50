package io.penstock.loader.transfer;

import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.emulator.Credentials;
import io.penstock.emulator.Link;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.KeyPair;
import java.security.interfaces.RSAPublicKey;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.Base64;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// Identities that the cloud gives: requests are signed with the key of a session, and a session that ends in
/// mid-transfer is followed by the next one without a failure.
@Timeout(value = 120, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class TestPrincipals {
    private static final int SIZE = 32 * Fixture.PIECE + 5;

    @TempDir
    Path folder;

    @Test
    void aResourcePrincipalsNextSessionFollowsInMidTransfer() throws Exception {
        try (Fixture fixture = new Fixture(folder, SIZE)) {
            fixture.stop();
            String first = newSession(fixture);
            fixture.emulator.link(Link.of(Duration.ofMillis(5), 300_000));
            Process loader = start(
                    fixture,
                    "RESOURCE",
                    Map.of(
                            "OCI_RESOURCE_PRINCIPAL_VERSION",
                            "2.2",
                            "OCI_RESOURCE_PRINCIPAL_RPST",
                            folder.resolve("session").toString(),
                            "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM",
                            folder.resolve("session.pem").toString(),
                            "OCI_RESOURCE_PRINCIPAL_REGION",
                            "us-ashburn-1"));
            try {
                while (fixture.emulator.traffic().reads().size() < 4) {
                    assertThat(loader.waitFor(5, TimeUnit.MILLISECONDS))
                            .as(log())
                            .isFalse();
                }
                String second = newSession(fixture);
                assertThat(second).isNotEqualTo(first);
                fixture.emulator.revokeSession(first);
                assertThat(loader.waitFor(30, TimeUnit.SECONDS)).isTrue();
                assertThat(loader.exitValue()).as(log()).isZero();
            } finally {
                loader.destroyForcibly();
            }
            assertThat(fixture.emulator.traffic().bytes()).isGreaterThanOrEqualTo(SIZE);
            fixture.start();
            assertThat(fixture.ask(fixture.resolve()).end.get()).isZero();
            assertThat(fixture.awaitPublished(fixture.resolve())).isEqualTo(fixture.content);
        }
    }

    @Test
    void aSessionThatNobodyKnowsIsNamedAsTheReason() throws Exception {
        try (Fixture fixture = new Fixture(folder, SIZE)) {
            fixture.stop();
            fixture.emulator.revokeSession(newSession(fixture));
            Process loader = start(
                    fixture,
                    "RESOURCE",
                    Map.of(
                            "OCI_RESOURCE_PRINCIPAL_VERSION",
                            "2.2",
                            "OCI_RESOURCE_PRINCIPAL_RPST",
                            folder.resolve("session").toString(),
                            "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM",
                            folder.resolve("session.pem").toString(),
                            "OCI_RESOURCE_PRINCIPAL_REGION",
                            "us-ashburn-1"));
            assertThat(loader.waitFor(30, TimeUnit.SECONDS)).isTrue();
            assertThat(loader.exitValue()).isEqualTo(1);
            assertThat(log()).contains("the source refuses our credentials").contains("the keyId is not known");
            fixture.start();
        }
    }

    private Process start(Fixture fixture, String principal, Map<String, String> environment) throws IOException {
        ProcessBuilder builder = new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:TieredStopAtLevel=1",
                "-XX:+UseSerialGC",
                "-cp",
                System.getProperty("java.class.path"),
                PrincipalLoader.class.getName(),
                folder.resolve("cache").toString(),
                fixture.emulator.endpoint().toString(),
                principal);
        builder.environment().putAll(environment);
        return builder.redirectErrorStream(true)
                .redirectOutput(folder.resolve("loader.log").toFile())
                .start();
    }

    /// Writes a session's token and key where the cloud would, and makes them known to the service.
    private String newSession(Fixture fixture) throws IOException {
        KeyPair keys = Credentials.generate().keys();
        RSAPublicKey key = (RSAPublicKey) keys.getPublic();
        String jwk = "{\\\"kty\\\":\\\"RSA\\\",\\\"n\\\":\\\"%s\\\",\\\"e\\\":\\\"%s\\\"}"
                .formatted(number(key.getModulus()), number(key.getPublicExponent()));
        String claims = "{\"exp\":%d,\"res_tenant\":\"ocid1.tenancy.oc1..a\",\"jwk\":\"%s\"}"
                .formatted(Instant.now().plusSeconds(1200).getEpochSecond(), jwk);
        String token = encoded("{\"alg\":\"RS256\"}".getBytes(StandardCharsets.UTF_8)) + "."
                + encoded(claims.getBytes(StandardCharsets.UTF_8)) + "." + encoded(new byte[] {1});
        fixture.emulator.registerSession(token, key);
        String pem = "-----BEGIN PRIVATE KEY-----\n"
                + Base64.getMimeEncoder(64, new byte[] {'\n'})
                        .encodeToString(keys.getPrivate().getEncoded())
                + "\n-----END PRIVATE KEY-----\n";
        replace(folder.resolve("session.pem"), pem);
        replace(folder.resolve("session"), token);
        return token;
    }

    private static void replace(Path file, String content) throws IOException {
        Path fresh = Files.writeString(file.resolveSibling(file.getFileName() + ".new"), content);
        Files.move(fresh, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    }

    private static String number(BigInteger value) {
        byte[] bytes = value.toByteArray();
        // Without the sign.
        return encoded(bytes[0] == 0 ? Arrays.copyOfRange(bytes, 1, bytes.length) : bytes);
    }

    private static String encoded(byte[] bytes) {
        return Base64.getUrlEncoder().withoutPadding().encodeToString(bytes);
    }

    private String log() {
        try {
            return Files.readString(folder.resolve("loader.log"));
        } catch (IOException e) {
            return e.toString();
        }
    }
}
