package io.penstock.loader.transfer;

import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.emulator.Fault;
import io.penstock.emulator.Link;
import io.penstock.loader.source.Snapshot;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// A loader that is killed at any moment goes on where it was: no byte wrong, and no more fetched twice
/// than what was in flight.
@Timeout(value = 900, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class TestResumeAfterKill {
    private static final int SIZE = 64 * Fixture.PIECE + 77;
    private static final int KILLS = 2;
    /// `-Dpenstock.test.kills=50` for many.
    private static final int FRESH_KILLS = Integer.getInteger("penstock.test.kills", 1);

    private static final int SECONDS_A_KILL = 10;

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

    /// One kill each, at any moment from the first byte to the last: a loader that starts after it ends
    /// bit-exact.
    @Test
    void onceAtAnyMoment() throws Exception {
        Random random = new Random(Long.getLong("penstock.test.seed", 11));
        try (Fixture fixture = new Fixture(folder, SIZE)) {
            fixture.stop();
            for (int kill = 0; kill < FRESH_KILLS; kill++) {
                fixture.emulator.putFile("models", "m/" + Fixture.NAME, folder.resolve("original"));
                fixture.emulator.traffic().clear();
                fixture.emulator.link(Link.of(Duration.ofMillis(1), 4_000_000L));
                killWhenServed(fixture, 1 + random.nextLong(SIZE - Fixture.PART), random.nextInt(60));
                double retries = fixture.count("penstock.loader.retries");
                long served = fixture.emulator.traffic().bytes();
                fixture.emulator.link(Link.DIRECT);
                fixture.start();
                Snapshot snapshot = fixture.resolve();
                fixture.ask(snapshot).end.get(SECONDS_A_KILL, TimeUnit.SECONDS);
                assertThat(fixture.awaitPublished(snapshot)).as("kill %d", kill).isEqualTo(fixture.content);
                fixture.stop();
                // What a busy machine made the second run repeat is not the kill's doing.
                assertThat(fixture.emulator.traffic().bytes() - SIZE)
                        .as("bytes fetched twice, %d were served before kill %d", served, kill)
                        .isLessThanOrEqualTo(
                                Math.round((Fixture.CONNECTIONS + fixture.count("penstock.loader.retries") - retries)
                                        * Fixture.PART));
            }
        }
    }

    private void killWhenServed(Fixture fixture, long bytes) throws IOException, InterruptedException {
        killWhenServed(fixture, bytes, 0);
    }

    /// @param later milliseconds after that moment
    private void killWhenServed(Fixture fixture, long bytes, int later) throws IOException, InterruptedException {
        Process loader = KilledLoader.start(fixture, List.of());
        try {
            while (fixture.emulator.traffic().bytes() < bytes) {
                assertThat(loader.waitFor(5, TimeUnit.MILLISECONDS))
                        .as(() -> log())
                        .isFalse();
            }
            loader.waitFor(later, TimeUnit.MILLISECONDS);
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
