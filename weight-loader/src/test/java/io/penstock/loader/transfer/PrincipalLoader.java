package io.penstock.loader.transfer;

import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.penstock.loader.cache.CacheDirectory;
import io.penstock.loader.source.OciAccount;
import io.penstock.loader.source.Renewable;
import io.penstock.loader.source.Snapshot;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/// A process that fetches whole files as what the cloud says it is, which the SDK finds in its environment. One after
/// the
/// other: each line on its standard input is a job, and a line that begins with [#ANSWER] says how that went.
final class PrincipalLoader {
    static final String ANSWER = "answer: ";
    static final String WELL = "well";

    private PrincipalLoader() {}

    /// @return the line of a job
    static String job(Path cache, URI endpoint, OciAccount.Principal principal, URI federation, Path podToken) {
        return String.join(
                "\t",
                cache.toString(),
                endpoint.toString(),
                principal.name(),
                federation.toString(),
                podToken.toString());
    }

    static void main() throws IOException {
        BufferedReader jobs = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String job = jobs.readLine(); job != null; job = jobs.readLine()) {
            String answer = WELL;
            try {
                fetch(job.split("\t"));
            } catch (Exception e) {
                e.printStackTrace();
                answer = e.toString().lines().findFirst().orElse("");
            }
            System.out.println(ANSWER + answer);
        }
        // The SDK leaves threads that would keep this process.
        System.exit(0);
    }

    private static void fetch(String[] arguments) throws Exception {
        OciAccount.Places places = new OciAccount.Places(
                Optional.of(URI.create(arguments[1])),
                Optional.of(URI.create(arguments[3])),
                Optional.of(Path.of(arguments[4])));
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
