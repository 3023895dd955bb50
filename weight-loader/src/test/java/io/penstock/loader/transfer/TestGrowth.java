package io.penstock.loader.transfer;

import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.emulator.Link;
import io.penstock.emulator.ObjectRead;
import io.penstock.loader.cache.CacheDirectory;
import io.penstock.loader.source.Snapshot;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// Where each connection is limited, all that may be used are: one file keeps them busy although its parts
/// begin and end all the time.
@Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class TestGrowth {
    private static final int SIZE = 40 << 20;
    private static final int CONNECTIONS = 48;
    private static final long BYTES_PER_SECOND = 400_000;

    @TempDir
    Path folder;

    @Test
    void oneFileGrowsToAllConnectionsThoughItsPartsEndAllTheTime() throws Exception {
        try (Fixture fixture = new Fixture(folder, SIZE)) {
            fixture.emulator.link(Link.of(Duration.ofMillis(5), BYTES_PER_SECOND));
            TransferSettings settings = new TransferSettings(
                    Fixture.PIECE, 4L * Fixture.PIECE, Duration.ofMillis(300), CONNECTIONS, 64 << 20, Fixture.STALL);
            try (Fixture.Parts parts = Fixture.Parts.of(
                    new CacheDirectory(folder.resolve("other"), Fixture.PIECE),
                    fixture.emulator.endpoint(),
                    fixture.config,
                    fixture.registry,
                    0,
                    settings)) {
                Snapshot snapshot = parts.source().resolve("m", "");
                FileWish wish =
                        parts.transfers().wish(snapshot, snapshot.file(Fixture.NAME), parts.source(), List.of());
                Fixture.Heard heard = new Fixture.Heard(wish);
                wish.ask(heard);
                assertThat(heard.end.get()).isEqualTo(SIZE);
                wish.close();
            }
            List<ObjectRead> reads = fixture.emulator.traffic().reads();
            assertThat(reads.subList(0, reads.size() * 2 / 3).stream()
                            .map(ObjectRead::connection)
                            .distinct())
                    .hasSizeGreaterThanOrEqualTo(CONNECTIONS);
        }
    }
}
