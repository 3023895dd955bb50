package io.penstock.loader.transfer;

import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.emulator.Fault;
import io.penstock.loader.source.Snapshot;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// A loader that is killed at any moment goes on where it was: no byte wrong, and no more fetched twice
/// than what was
/// in
/// flight.
@Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class TestResumeAfterKill {
    private static final int SIZE = 64 * Fixture.PIECE + 77;
    private static final int KILLS = 3;

    @TempDir
    Path folder;

    @Test
    void endsWithTheRightBytes() throws Exception {
        Random random = new Random(9);
        try (Fixture fixture = new Fixture(folder, SIZE)) {
            Snapshot snapshot = fixture.resolve();
            fixture.stop();
            fixture.emulator.faults().inject(new Fault.Latency(Duration.ofMillis(50)), Integer.MAX_VALUE);
            long before = 0;
            for (int kill = 0; kill < KILLS; kill++) {
                long until = before + Fixture.PART + random.nextLong(SIZE / 4);
                killWhenServed(fixture, until);
                before = fixture.emulator.traffic().bytes();
                assertThat(fixture.published(snapshot)).doesNotExist();
            }
            fixture.start();
            fixture.emulator.faults().clear();
            fixture.ask(snapshot).end.get();
            assertThat(fixture.awaitPublished(snapshot)).isEqualTo(fixture.content);
            long twice = fixture.emulator.traffic().bytes() - SIZE;
            assertThat(twice).isLessThanOrEqualTo((long) KILLS * Fixture.CONNECTIONS * Fixture.PART);
        }
    }

    private void killWhenServed(Fixture fixture, long bytes) throws IOException, InterruptedException {
        Process loader = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-XX:TieredStopAtLevel=1",
                        "-XX:+UseSerialGC",
                        "-cp",
                        System.getProperty("java.class.path"),
                        KilledLoader.class.getName(),
                        folder.resolve("cache").toString(),
                        fixture.emulator.endpoint().toString(),
                        fixture.config.toString())
                .redirectErrorStream(true)
                .redirectOutput(folder.resolve("loader.log").toFile())
                .start();
        try {
            while (fixture.emulator.traffic().bytes() < bytes) {
                assertThat(loader.waitFor(5, TimeUnit.MILLISECONDS))
                        .as(() -> log())
                        .isFalse();
            }
        } finally {
            loader.destroyForcibly().waitFor();
        }
    }

    private String log() {
        try {
            return Files.readString(folder.resolve("loader.log"));
        } catch (IOException e) {
            return e.toString();
        }
    }
}
