package io.penstock.loader.transfer;

import static org.assertj.core.api.Assertions.assertThat;

import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.opentelemetry.api.OpenTelemetry;
import io.penstock.emulator.Link;
import io.penstock.loader.cache.CacheDirectory;
import io.penstock.loader.source.OciAccount;
import io.penstock.loader.source.Renewable;
import io.penstock.loader.source.Snapshot;
import io.penstock.loader.wire.Throttle;
import io.penstock.loader.wire.WireClient;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// A node's other tenants need its network and its memory, too: what the configuration allows is not exceeded.
@Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class TestLimits {
    private static final int SIZE = 48 * Fixture.PIECE;

    @TempDir
    Path folder;

    private final SimpleMeterRegistry registry = new SimpleMeterRegistry();

    private Fixture.Parts node(Fixture fixture, int connections, long memory, long bandwidth) {
        OciAccount account = OciAccount.read(fixture.config, "DEFAULT", Optional.of(fixture.emulator.endpoint()));
        return Fixture.Parts.of(
                new CacheDirectory(folder.resolve("limited"), Fixture.PIECE),
                new Renewable<>(() -> account),
                registry,
                0,
                new TransferSettings(
                        Fixture.PIECE,
                        Fixture.PIECE,
                        Duration.ofSeconds(1),
                        connections,
                        memory,
                        Duration.ofSeconds(20)),
                Optional.empty(),
                OpenTelemetry.noop().getTracer("test"),
                new Throttle(bandwidth));
    }

    private static Fixture.Heard ask(Fixture.Parts parts) {
        Snapshot snapshot = parts.source().resolve("m", "");
        FileWish wish = parts.transfers().wish(snapshot, snapshot.file(Fixture.NAME), parts.source(), List.of());
        Fixture.Heard heard = new Fixture.Heard(wish);
        wish.ask(heard);
        return heard;
    }

    @Test
    void allConnectionsTogetherKeepWithinTheBandwidth() throws Exception {
        try (Fixture fixture = new Fixture(folder, SIZE);
                Fixture.Parts parts = node(fixture, 2, 2L * WireClient.READ_SIZE, SIZE / 2)) {
            long begin = System.nanoTime();
            Fixture.Heard heard = ask(parts);
            assertThat(heard.end.get()).isEqualTo(SIZE);
            // Two seconds' worth of bytes, in answers so small that one read takes a whole one. What each connection
            // reads before it is told to wait comes early, and so does what may come at once after a pause.
            assertThat(Duration.ofNanos(System.nanoTime() - begin))
                    .isBetween(Duration.ofMillis(1_700), Duration.ofSeconds(20));
            heard.wish.close();
        }
    }

    @Test
    void theMemoryBoundsHowManyConnectionsThereAreWhateverElseAllowsMore() throws Exception {
        int allowed = 4;
        long memory = (long) allowed * WireClient.READ_SIZE;
        try (Fixture fixture = new Fixture(folder, SIZE);
                Fixture.Parts parts = node(fixture, 64, memory, 0)) {
            fixture.emulator.link(Link.of(Duration.ofMillis(2), 1_000_000));
            Fixture.Heard heard = ask(parts);
            long most = 0;
            double running = 0;
            while (!heard.end.isDone()) {
                most = Math.max(most, parts.wire().bufferBytes());
                running = Math.max(
                        running,
                        registry.get("penstock.loader.parallel.running").gauge().value());
                Thread.onSpinWait();
            }
            assertThat(heard.end.get()).isEqualTo(SIZE);
            heard.wish.close();
            assertThat(running).isBetween(2.0, (double) allowed);
            // Blocks of the allocator are rounded up once for each of its threads.
            assertThat(most).isPositive().isLessThanOrEqualTo(2 * memory + (4 << 20));
        }
    }
}
