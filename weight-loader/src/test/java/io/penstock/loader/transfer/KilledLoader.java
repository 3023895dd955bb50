package io.penstock.loader.transfer;

import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.penstock.loader.cache.CacheDirectory;
import io.penstock.loader.source.Snapshot;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/// Fetches a whole file in a process of its own, to be killed: cache folder, endpoint, config file.
final class KilledLoader {
    private KilledLoader() {}

    /// Starts it on the fixture's cache; what it says goes to `loader.log` beside that.
    ///
    /// @param before words before the command, as of a program that takes rights away
    static Process start(Fixture fixture, List<String> before) throws IOException {
        List<String> command = new ArrayList<>(before);
        command.addAll(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:TieredStopAtLevel=1",
                "-XX:+UseSerialGC",
                "-cp",
                System.getProperty("java.class.path"),
                KilledLoader.class.getName(),
                fixture.folder.resolve("cache").toString(),
                fixture.emulator.endpoint().toString(),
                fixture.config.toString()));
        return new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(fixture.folder.resolve("loader.log").toFile())
                .start();
    }

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
