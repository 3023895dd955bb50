package io.penstock.loader.transfer;

import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.penstock.loader.cache.CacheDirectory;
import io.penstock.loader.source.OciAccount;
import io.penstock.loader.source.Renewable;
import io.penstock.loader.source.Snapshot;
import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/// Fetches a whole file as what the cloud says we are, which the SDK finds in the environment: cache folder, endpoint,
/// kind of principal, the federation's endpoint and the file of the pod's token, each empty where it is as usual.
final class PrincipalLoader {
    private PrincipalLoader() {}

    static void main(String[] arguments) {
        int status = 0;
        try {
            fetch(arguments);
        } catch (Exception e) {
            e.printStackTrace();
            status = 1;
        }
        // The SDK leaves threads that would keep this process.
        System.exit(status);
    }

    private static void fetch(String[] arguments) throws Exception {
        OciAccount.Places places = new OciAccount.Places(
                Optional.of(URI.create(arguments[1])),
                Optional.of(arguments[3]).filter(text -> !text.isEmpty()).map(URI::create),
                Optional.of(arguments[4]).filter(text -> !text.isEmpty()).map(Path::of));
        OciAccount.Principal principal = OciAccount.Principal.valueOf(arguments[2]);
        try (Fixture.Parts parts = Fixture.Parts.of(
                new CacheDirectory(Path.of(arguments[0]), Fixture.PIECE),
                new Renewable<>(() -> OciAccount.principal(principal, places)),
                new SimpleMeterRegistry(),
                0,
                new TransferSettings(
                        Fixture.PART,
                        Fixture.PART,
                        Duration.ofSeconds(1),
                        Fixture.CONNECTIONS,
                        Fixture.MEMORY,
                        Duration.ofMinutes(1)),
                Optional.empty())) {
            Snapshot snapshot = parts.source().resolve("m", "");
            FileWish wish = parts.transfers().wish(snapshot, snapshot.file(Fixture.NAME), parts.source(), List.of());
            Fixture.Heard heard = new Fixture.Heard(wish);
            wish.ask(heard);
            heard.end.get();
        }
    }
}
