package io.penstock.cli.system;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.MethodOrderer;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestMethodOrder;
import org.junit.jupiter.api.io.TempDir;

/// The README's first command, as a new user types it: it answers, and it leaves nothing behind however it
/// is stopped.
@TestMethodOrder(MethodOrderer.OrderAnnotation.class)
final class SystemTestDemo {
    private static final Path HOME = Path.of("..").toAbsolutePath().normalize();
    private static final Pattern PID = Pattern.compile(" pid (\\d+)$");

    @TempDir
    private Path temporary;

    private final List<String> lines = new ArrayList<>();
    private final Map<String, String> environment = new HashMap<>();
    private Process started;

    @AfterEach
    void stop() {
        // Nothing to do unless a test failed; then the services follow.
        started.destroyForcibly();
    }

    @Test
    void onceAnswersAndExits() throws Exception {
        Process demo = demo("--once", "--tp", "1", "--pp", "1");
        readUntil(demo, "Stopping");
        assertThat(demo.waitFor(60, TimeUnit.SECONDS)).isTrue();
        assertThat(demo.exitValue()).as(String.join("\n", lines)).isZero();
        assertThat(lines).anyMatch(line -> line.matches("\\d+ tokens, first after .*"));
        assertThat(lines).anyMatch(line -> line.contains("curl -N http://127.0.0.1:"));
        assertThat(lines).as("no stack trace").noneMatch(line -> line.startsWith("\tat "));
        assertNothingLeft();
    }

    /// The first, for it records what the others start from in half the time.
    @Test
    @Order(1)
    void controlCStopsEverything() throws Exception {
        Process demo = demo("--pp", "2");
        readUntil(demo, "Up until Ctrl-C.");
        assertThat(pids()).as("services").hasSize(5).allMatch(SystemTestDemo::alive);
        chatForgetsWhenTold();
        signal("INT", demo.pid());
        // A first run writes down, at its end, what quickens later starts.
        assertThat(demo.waitFor(120, TimeUnit.SECONDS)).isTrue();
        assertNothingLeft();
    }

    @Test
    void evenAKillLeavesNoService() throws Exception {
        Process demo = demo("--pp", "1");
        readUntil(demo, "Up until Ctrl-C.");
        List<Long> pids = pids();
        signal("KILL", demo.pid());
        Clusters.await("the services follow their parent", () -> pids.stream().noneMatch(SystemTestDemo::alive));
    }

    @Test
    void aSplitThatLeavesARankNothingIsRefusedBeforeAnythingStarts() throws Exception {
        Process demo = demo("--once", "--tp", "10", "--pp", "1");
        awaitRefusal(demo);
        assertThat(lines.getLast())
                .endsWith(" with --tp 10 --pp 1: the model has 3 query heads for each key/value head,"
                        + " too few for 4 ranks that have it");
        assertThat(pids()).isEmpty();
        assertNoFolderLeft();
    }

    @Test
    void aModelWithoutATokenizerIsRefusedBeforeAnythingStarts() throws Exception {
        Path tiny = HOME.resolve(
                "model-shard-service/src/test/resources/io/penstock/shard/backend/cpu/gguf/qwen3-moe.gguf");
        Process demo = demo("--once", "--pp", "1", "--model", tiny.toString());
        awaitRefusal(demo);
        assertThat(lines.getLast()).contains("tokenizer");
        assertThat(pids()).isEmpty();
        assertNoFolderLeft();
    }

    /// What is known only when the shards have started: here that no KV block finds room.
    @Test
    void shardsThatRefuseTheirConfigurationEndItWithTheReason() throws Exception {
        environment.put("PENSTOCK_SHARD_KV_MEMORY", "1");
        Process demo = demo("--once", "--pp", "1", "--backend", "cpu");
        readUntil(demo, "Stopping");
        List<ProcessHandle> services = demo.descendants().toList();
        awaitRefusal(demo);
        assertThat(lines.getLast())
                .startsWith("penstock: the model cannot be served: rank 0 of stage 0 refuses its configuration: "
                        + "1 bytes of KV memory do not hold one block");
        assertThat(services).noneMatch(ProcessHandle::isAlive);
    }

    private void awaitRefusal(Process demo) throws Exception {
        readUntil(demo, "penstock: ");
        assertThat(demo.waitFor(60, TimeUnit.SECONDS)).isTrue();
        assertThat(demo.exitValue()).isEqualTo(1);
    }

    /// What a person types into `penstock chat`, at temperature 0: after /new the same question has the same answer.
    private void chatForgetsWhenTold() throws Exception {
        String url = lines.stream()
                .map(String::strip)
                .filter(line -> line.startsWith("./penstock chat --url "))
                .map(line -> line.substring("./penstock chat --url ".length()))
                .findFirst()
                .orElseThrow();
        Process chat = new ProcessBuilder(
                        HOME.resolve("penstock").toString(),
                        "chat",
                        "--url",
                        url,
                        "--temperature",
                        "0",
                        "--max-tokens",
                        "12")
                .redirectErrorStream(true)
                .start();
        try (Writer in = chat.outputWriter(StandardCharsets.UTF_8)) {
            in.write("Name a river.\n/new\nName a river.\n/exit\n");
        }
        List<String> answers = chat.inputReader(StandardCharsets.UTF_8).lines().toList();
        assertThat(chat.waitFor(60, TimeUnit.SECONDS)).isTrue();
        assertThat(chat.exitValue()).as(String.join("\n", answers)).isZero();
        String said = String.join("\n", answers);
        assertThat(said).startsWith(Clusters.MODEL + " at " + url);
        // The prompts "> " part the turns; the second follows /new at once.
        String[] turns = said.split("> ", -1);
        assertThat(turns).hasSize(5);
        assertThat(turns[1]).isNotBlank().isEqualTo(turns[3]);
        assertThat(turns[2]).isEmpty();
    }

    private Process demo(String... options) throws IOException {
        // A build in the background has its children ignore SIGINT; a person's terminal does not.
        List<String> command = new ArrayList<>(
                List.of("env", "--default-signal=INT", HOME.resolve("penstock").toString(), "demo"));
        command.addAll(List.of(options));
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
        builder.environment().put("JDK_JAVA_OPTIONS", "-Djava.io.tmpdir=" + temporary);
        builder.environment().putAll(environment);
        started = builder.start();
        return started;
    }

    private void readUntil(Process demo, String text) throws IOException {
        BufferedReader out = demo.inputReader(StandardCharsets.UTF_8);
        String line;
        do {
            line = out.readLine();
            assertThat(line).as("output ended:\n" + String.join("\n", lines)).isNotNull();
            lines.add(line);
        } while (!line.startsWith(text));
    }

    private List<Long> pids() {
        return lines.stream()
                .map(PID::matcher)
                .filter(Matcher::find)
                .map(match -> Long.parseLong(match.group(1)))
                .toList();
    }

    private void assertNothingLeft() throws IOException {
        assertThat(pids()).isNotEmpty().noneMatch(SystemTestDemo::alive);
        assertNoFolderLeft();
    }

    private void assertNoFolderLeft() throws IOException {
        try (Stream<Path> left = Files.list(temporary)) {
            assertThat(left.filter(path -> path.getFileName().toString().startsWith("penstock")))
                    .isEmpty();
        }
    }

    private static boolean alive(long pid) {
        return ProcessHandle.of(pid).map(ProcessHandle::isAlive).orElse(false);
    }

    private static void signal(String name, long pid) throws IOException, InterruptedException {
        new ProcessBuilder("kill", "-" + name, String.valueOf(pid)).start().waitFor();
    }
}
