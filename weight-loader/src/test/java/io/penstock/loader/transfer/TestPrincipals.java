package io.penstock.loader.transfer;

import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.emulator.Link;
import io.penstock.loader.source.OciAccount.Principal;
import io.penstock.loader.source.Snapshot;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/// Identities that the cloud gives: requests are signed with the key of a session, and a session that ends in
/// mid-transfer is followed by the next one without a failure. An instance's identity comes from its metadata service
/// and
/// the federation, a pod's from the service on its node, a resource's from its files.
@Timeout(value = 120, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class TestPrincipals {
    private static final int SIZE = 32 * Fixture.PIECE + 5;
    private static final int LONG_LIFE = 1200;
    private static final Duration PATIENCE = Duration.ofSeconds(30);

    @TempDir
    static Path shared;

    @TempDir
    Path folder;

    private static CloudIdentity cloud;
    /// One for all tests: what it is comes by its environment, and the SDK takes long to start.
    private static Process loader;

    private static BufferedReader answers;

    @BeforeAll
    static void start() throws Exception {
        cloud = new CloudIdentity(shared.resolve("cloud"));
        ProcessBuilder builder = new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                // With its second compiler: the SDK makes an RSA key for each session, ten times as long without.
                "-XX:+UseSerialGC",
                "-cp",
                System.getProperty("java.class.path"),
                PrincipalLoader.class.getName());
        builder.environment().putAll(cloud.environment());
        loader = builder.redirectError(shared.resolve("loader.log").toFile()).start();
        answers = loader.inputReader();
    }

    @AfterAll
    static void stop() throws Exception {
        loader.outputWriter().close();
        boolean ended = loader.waitFor(10, TimeUnit.SECONDS);
        loader.destroyForcibly();
        cloud.close();
        assertThat(ended).isTrue();
    }

    @ParameterizedTest
    @EnumSource(Principal.class)
    void aSessionThatIsRevokedInMidTransferIsFollowedByTheNext(Principal principal) throws Exception {
        try (Fixture fixture = begin(LONG_LIFE, 1_000_000)) {
            renewResource(principal);
            ask(fixture, principal);
            assertThat(fixture.emulator.traffic().awaitReads(4, PATIENCE))
                    .as(log())
                    .isTrue();
            List<String> before = List.copyOf(cloud.sessions);
            renewResource(principal);
            assertThat(before).isNotEmpty();
            before.forEach(fixture.emulator::revokeSession);
            assertIntact(fixture);
            assertThat(cloud.sessions).hasSizeGreaterThan(before.size());
        }
    }

    /// A session of two seconds' life ends in a transfer of three; no request is made with one that has ended.
    @ParameterizedTest
    @EnumSource(names = {"INSTANCE", "WORKLOAD"})
    void aSessionThatEndsIsFollowedByAnotherBeforeItIsRefused(Principal principal) throws Exception {
        try (Fixture fixture = begin(2, 170_000)) {
            ask(fixture, principal);
            assertIntact(fixture);
            assertThat(cloud.sessions).hasSizeGreaterThan(1);
        }
    }

    @Test
    void aSessionThatNobodyKnowsIsNamedAsTheReason() throws Exception {
        try (Fixture fixture = begin(LONG_LIFE, 0)) {
            cloud.renewResource();
            fixture.emulator.revokeSession(cloud.sessions.getLast());
            ask(fixture, Principal.RESOURCE);
            assertThat(answer()).contains("the source refuses our credentials").contains("the keyId is not known");
            fixture.start();
        }
    }

    /// @param bytesPerSecond of each connection
    private Fixture begin(int lifeSeconds, long bytesPerSecond) throws IOException {
        Fixture fixture = new Fixture(folder, SIZE);
        // Another process has the cache.
        fixture.stop();
        fixture.emulator.link(Link.of(Duration.ofMillis(5), bytesPerSecond));
        cloud.begin(fixture.emulator, lifeSeconds);
        return fixture;
    }

    /// What renews a resource's files is not the SDK.
    private static void renewResource(Principal principal) throws IOException {
        if (principal == Principal.RESOURCE) {
            cloud.renewResource();
        }
    }

    private static void ask(Fixture fixture, Principal principal) throws IOException {
        loader.outputWriter()
                .append(PrincipalLoader.job(
                        fixture.folder.resolve("cache"),
                        fixture.emulator.endpoint(),
                        principal,
                        cloud.federation(),
                        cloud.podToken()))
                .append('\n')
                .flush();
    }

    private static String answer() throws IOException {
        for (String line = answers.readLine(); line != null; line = answers.readLine()) {
            if (line.startsWith(PrincipalLoader.ANSWER)) {
                return line.substring(PrincipalLoader.ANSWER.length());
            }
        }
        throw new AssertionError("the loader's process has ended: " + log());
    }

    private static void assertIntact(Fixture fixture) throws Exception {
        assertThat(answer()).as(log() + cloud.refused).isEqualTo(PrincipalLoader.WELL);
        assertThat(cloud.refused).isEmpty();
        fixture.start();
        Snapshot snapshot = fixture.resolve();
        assertThat(fixture.ask(snapshot).end.get()).isZero();
        assertThat(fixture.awaitPublished(snapshot)).isEqualTo(fixture.content);
    }

    private static String log() throws IOException {
        return Files.readString(shared.resolve("loader.log"));
    }
}
