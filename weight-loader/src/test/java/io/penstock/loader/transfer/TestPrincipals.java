package io.penstock.loader.transfer;

import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.emulator.Credentials;
import io.penstock.emulator.Link;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.KeyPair;
import java.security.interfaces.RSAPublicKey;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

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
            Process loader = start(fixture, resource());
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

    /// An instance's identity comes from its metadata service and the federation, a pod's from the service on its node.
    @ParameterizedTest
    @ValueSource(strings = {"INSTANCE", "WORKLOAD"})
    void aMachinesOrPodsNextSessionFollowsInMidTransfer(String principal) throws Exception {
        try (Fixture fixture = new Fixture(folder, SIZE);
                CloudIdentity cloud = new CloudIdentity(folder.resolve("cloud"), fixture.emulator)) {
            fixture.stop();
            fixture.emulator.link(Link.of(Duration.ofMillis(5), 300_000));
            Path podToken = Files.writeString(folder.resolve("pod-token"), CloudIdentity.POD_TOKEN);
            Process loader = start(fixture, Identity.of(principal, cloud, podToken));
            try {
                while (fixture.emulator.traffic().reads().size() < 4) {
                    assertThat(loader.waitFor(5, TimeUnit.MILLISECONDS))
                            .as(log() + cloud.refused)
                            .isFalse();
                }
                List<String> before = List.copyOf(cloud.sessions);
                assertThat(before).isNotEmpty();
                before.forEach(fixture.emulator::revokeSession);
                assertThat(loader.waitFor(60, TimeUnit.SECONDS)).isTrue();
                assertThat(loader.exitValue()).as(log() + cloud.refused).isZero();
                assertThat(cloud.sessions).hasSizeGreaterThan(before.size());
            } finally {
                loader.destroyForcibly();
            }
            assertThat(cloud.refused).isEmpty();
            fixture.start();
            assertThat(fixture.ask(fixture.resolve()).end.get()).isZero();
            assertThat(fixture.awaitPublished(fixture.resolve())).isEqualTo(fixture.content);
        }
    }

    /// A session of a second's life ends many times in a transfer; no request is made with one that has ended.
    @ParameterizedTest
    @ValueSource(strings = {"INSTANCE", "WORKLOAD"})
    void aSessionThatEndsIsFollowedByAnotherBeforeItIsRefused(String principal) throws Exception {
        try (Fixture fixture = new Fixture(folder, SIZE);
                CloudIdentity cloud = new CloudIdentity(folder.resolve("cloud"), fixture.emulator)) {
            fixture.stop();
            cloud.lifeSeconds = 2;
            fixture.emulator.link(Link.of(Duration.ofMillis(5), 100_000));
            Path podToken = Files.writeString(folder.resolve("pod-token"), CloudIdentity.POD_TOKEN);
            Process loader = start(fixture, Identity.of(principal, cloud, podToken));
            assertThat(loader.waitFor(60, TimeUnit.SECONDS)).isTrue();
            assertThat(loader.exitValue()).as(log() + cloud.refused).isZero();
            assertThat(cloud.sessions).hasSizeGreaterThan(1);
            assertThat(cloud.refused).isEmpty();
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
            Process loader = start(fixture, resource());
            assertThat(loader.waitFor(30, TimeUnit.SECONDS)).isTrue();
            assertThat(loader.exitValue()).isEqualTo(1);
            assertThat(log()).contains("the source refuses our credentials").contains("the keyId is not known");
            fixture.start();
        }
    }

    private Identity resource() {
        return new Identity(
                "RESOURCE",
                "",
                "",
                Map.of(
                        "OCI_RESOURCE_PRINCIPAL_VERSION",
                        "2.2",
                        "OCI_RESOURCE_PRINCIPAL_RPST",
                        folder.resolve("session").toString(),
                        "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM",
                        folder.resolve("session.pem").toString(),
                        "OCI_RESOURCE_PRINCIPAL_REGION",
                        "us-ashburn-1"));
    }

    /// What a loader runs as whose identity comes from there.
    private record Identity(String principal, String federation, String podToken, Map<String, String> environment) {
        static Identity of(String principal, CloudIdentity cloud, Path podToken) {
            return new Identity(
                    principal,
                    principal.equals("INSTANCE") ? cloud.federation().toString() : "",
                    podToken.toString(),
                    Map.of(
                            "OCI_METADATA_BASE_URL",
                            cloud.metadata().toString(),
                            "KUBERNETES_SERVICE_HOST",
                            cloud.host(),
                            "OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH",
                            cloud.authority().toString()));
        }
    }

    private Process start(Fixture fixture, Identity identity) throws IOException {
        ProcessBuilder builder = new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:TieredStopAtLevel=1",
                "-XX:+UseSerialGC",
                "-cp",
                System.getProperty("java.class.path"),
                PrincipalLoader.class.getName(),
                folder.resolve("cache").toString(),
                fixture.emulator.endpoint().toString(),
                identity.principal(),
                identity.federation(),
                identity.podToken());
        builder.environment().putAll(identity.environment());
        return builder.redirectErrorStream(true)
                .redirectOutput(folder.resolve("loader.log").toFile())
                .start();
    }

    /// Writes a session's token and key where the cloud would, and makes them known to the service.
    private String newSession(Fixture fixture) throws IOException {
        KeyPair keys = Credentials.generate().keys();
        RSAPublicKey key = (RSAPublicKey) keys.getPublic();
        String token = CloudIdentity.token(key, 1200);
        fixture.emulator.registerSession(token, key);
        replace(
                folder.resolve("session.pem"),
                CloudIdentity.pem("PRIVATE KEY", keys.getPrivate().getEncoded()));
        replace(folder.resolve("session"), token);
        return token;
    }

    private static void replace(Path file, String content) throws IOException {
        Path fresh = Files.writeString(file.resolveSibling(file.getFileName() + ".new"), content);
        Files.move(fresh, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    }

    private String log() {
        try {
            return Files.readString(folder.resolve("loader.log"));
        } catch (IOException e) {
            return e.toString();
        }
    }
}
