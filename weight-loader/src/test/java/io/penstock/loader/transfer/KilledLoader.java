package io.penstock.loader.transfer;

import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.penstock.loader.cache.CacheDirectory;
import io.penstock.loader.source.Snapshot;
import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;

/// Fetches a whole file in a process of its own, to be killed: cache folder, endpoint, config file.
final class KilledLoader {
    private KilledLoader() {}

    static void main(String[] arguments) throws Exception {
        try (Fixture.Parts parts = Fixture.Parts.of(
                new CacheDirectory(Path.of(arguments[0]), Fixture.PIECE),
                URI.create(arguments[1]),
                Path.of(arguments[2]),
                new SimpleMeterRegistry(),
                0,
                // A machine that is busy is no stall: what is fetched twice is counted.
                Duration.ofMinutes(1))) {
            Snapshot snapshot = parts.source().resolve("m", "");
            FileWish wish = parts.transfers().wish(snapshot, snapshot.file(Fixture.NAME), parts.source(), List.of());
            Fixture.Heard heard = new Fixture.Heard(wish);
            wish.ask(heard);
            heard.end.get();
        }
    }
}
