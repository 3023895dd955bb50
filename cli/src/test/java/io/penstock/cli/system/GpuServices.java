package io.penstock.cli.system;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.errorprone.annotations.FormatMethod;
import com.google.errorprone.annotations.FormatString;
import io.penstock.cli.cluster.ClusterLayout;
import io.penstock.cli.cluster.LocalCluster;
import io.penstock.cli.cluster.RankSettings;
import io.penstock.cli.cluster.RemoteModel;
import io.penstock.cli.cluster.ServiceProcess;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalInt;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Stream;

/// All services as real processes with ranks on GPUs: what they answer, how fast, and what a lost rank
/// costs.
/// `bench/gpu/run.sh` runs it where there is a GPU. Each finding is a line, `FAIL` in those that must not
/// be.
///
///     GpuServices HOME WORK MODEL SOURCE TP DEVICES STAGE...
///
/// SOURCE: a GGUF file (served through the Object Storage emulator), or a `file://` folder, used in
/// place. DEVICES: `0,1`. STAGES: `references` (the test model's), `rate`, `start`, `kill`,
/// `supervise`. `-Dtokens=N`: how long the streams are that a rank dies in. System properties that
/// begin with `penstock.shard.` are passed on to the ranks.
public final class GpuServices {
    /// bf16 weights: where the reference's best two are nearer than this, the other may rightly come first.
    private static final double CLOSE_CALL = 0.3;

    private static final double START_SECONDS = 300;
    private static final int TOKENS = Integer.getInteger("tokens", 400);

    private final LocalCluster cluster;
    private final String model;
    private final Client client;
    private int failures;

    private GpuServices(LocalCluster cluster, String model) {
        this.cluster = cluster;
        this.model = model;
        client = new Client(cluster.gateway());
    }

    public static void main(String[] arguments) throws Exception {
        Path work = Files.createDirectories(Path.of(arguments[1]));
        String source = arguments[3];
        boolean remote = source.startsWith("file://");
        Map<String, String> settings = new HashMap<>();
        System.getProperties().stringPropertyNames().stream()
                .filter(key -> key.startsWith("penstock.shard."))
                .forEach(key -> settings.put(key, System.getProperty(key)));
        ClusterLayout layout = new ClusterLayout(
                Path.of(arguments[0]),
                work,
                arguments[2],
                remote ? null : Path.of(source),
                remote ? RemoteModel.parse(source) : null,
                Integer.parseInt(arguments[4]),
                1,
                new RankSettings(
                        "cuda",
                        Stream.of(arguments[5].split(",")).map(Integer::valueOf).toList(),
                        settings),
                OptionalInt.empty());
        long began = System.nanoTime();
        int failures;
        // In order of their opening: the cluster's address is known once it has started.
        try (LocalCluster cluster = new LocalCluster(layout)) {
            cluster.start();
            GpuServices services = new GpuServices(cluster, layout.model());
            services.awaitServing();
            double serving = seconds(began);
            services.ask(services.chat("Hello!", 1));
            System.out.printf(
                    "     %s, tensor-parallel %d: serving after %.2f s, first token after %.2f s%n",
                    layout.model(), layout.tensorParallel(), serving, seconds(began));
            for (String stage : Arrays.asList(arguments).subList(6, arguments.length)) {
                switch (stage) {
                    case "references" -> services.references();
                    case "rate" -> services.rate();
                    case "start" -> services.restart();
                    case "kill" -> services.kill();
                    case "supervise" -> services.supervise();
                    default -> throw new IllegalArgumentException(stage);
                }
            }
            failures = services.failures;
        }
        if (failures > 0) {
            System.out.println("FAIL: " + failures + " findings");
            System.exit(1);
        }
    }

    @FormatMethod
    private void report(boolean good, @FormatString String format, Object... values) {
        failures += good ? 0 : 1;
        System.out.println((good ? "ok   " : "FAIL ") + String.format(Locale.ROOT, format, values));
        System.out.flush();
    }

    private static double seconds(long since) {
        return (System.nanoTime() - since) / 1e9;
    }

    private void awaitServing() {
        long began = System.nanoTime();
        while (!cluster.serving()) {
            for (ServiceProcess service : cluster.services()) {
                if (!service.alive()) {
                    throw new AssertionError("%s ended with exit code %d, see %s"
                            .formatted(service.name(), service.exitCode(), service.log()));
                }
            }
            if (seconds(began) > START_SECONDS) {
                throw new AssertionError("not serving; logs in " + cluster.logs());
            }
            LockSupport.parkNanos(5_000_000);
        }
    }

    private ObjectNode chat(String text, int maxTokens) {
        ArrayNode messages = Client.JSON.createArrayNode();
        messages.addObject().put("role", "user").put("content", text);
        return Client.chat(model, messages, maxTokens).put("ignore_eos", true);
    }

    /// @param arrivals nanoseconds at which each token was there
    private record Answer(Completion completion, List<Long> arrivals) {
        List<Integer> ids() {
            return completion.tokens().stream().map(Completion.Token::id).toList();
        }

        double millisAToken() {
            return (arrivals.getLast() - arrivals.getFirst()) / 1e6 / (arrivals.size() - 1);
        }

        double longestGapSeconds() {
            long longest = 0;
            for (int i = 1; i < arrivals.size(); i++) {
                longest = Math.max(longest, arrivals.get(i) - arrivals.get(i - 1));
            }
            return longest / 1e9;
        }
    }

    private Answer ask(ObjectNode chat) throws Exception {
        return ask(chat, -1, new CountDownLatch(1));
    }

    /// @param mark counted down once so many tokens are there
    private Answer ask(ObjectNode chat, int at, CountDownLatch mark) throws Exception {
        List<Long> arrivals = new ArrayList<>();
        Completion completion = client.stream(chat, tokens -> {
            long now = System.nanoTime();
            while (arrivals.size() < tokens) {
                arrivals.add(now);
            }
            if (at >= 0 && tokens >= at) {
                mark.countDown();
            }
        });
        return new Answer(completion, arrivals);
    }

    /// Twenty chats at once against float32 arithmetic.
    private void references() throws Exception {
        List<Reference> references = Reference.all();
        try (ExecutorService clients = Executors.newVirtualThreadPerTaskExecutor()) {
            List<Future<Answer>> answers = new ArrayList<>();
            for (Reference reference : references) {
                answers.add(clients.submit(() -> ask(Client.chat(model, reference.messages(), 48))));
            }
            int same = 0;
            int whole = 0;
            for (int i = 0; i < references.size(); i++) {
                Reference reference = references.get(i);
                List<Integer> ids = answers.get(i).get().ids();
                int expected = reference.expectedTokens();
                int at = againstReference(reference, ids);
                same += at;
                whole += at == expected ? 1 : 0;
                if (at < expected) {
                    double margin = reference.margins().get(at);
                    report(
                            margin < CLOSE_CALL,
                            "%s: %d of %d tokens as in float32; there the margin is %.4f",
                            reference.name(),
                            at,
                            expected,
                            margin);
                }
            }
            report(
                    whole > references.size() / 2,
                    "references: %d of %d chats as in float32 to the end, %d tokens before the first difference",
                    whole,
                    references.size(),
                    same);
        }
    }

    private static int common(List<Integer> one, List<Integer> other) {
        int at = 0;
        while (at < one.size() && at < other.size() && one.get(at).equals(other.get(at))) {
            at++;
        }
        return at;
    }

    /// One stream alone, then eight and 64 at once.
    private void rate() throws Exception {
        ObjectNode chat = chat("word ".repeat(96), 513);
        List<Double> each = new ArrayList<>();
        for (int run = 0; run < 4; run++) {
            each.add(ask(chat).millisAToken());
        }
        // The first run also warms the services' code.
        each.sort(null);
        System.out.printf(
                "     one stream: %.4f ms a token (%.1f tok/s), runs %s%n",
                each.getFirst(), 1e3 / each.getFirst(), each);
        for (int streams : new int[] {8, 64}) {
            try (ExecutorService clients = Executors.newVirtualThreadPerTaskExecutor()) {
                long began = System.nanoTime();
                List<Future<Answer>> answers = new ArrayList<>();
                for (int i = 0; i < streams; i++) {
                    ObjectNode one = chat(i + " word".repeat(96), 257);
                    answers.add(clients.submit(() -> ask(one)));
                }
                double slowest = 0;
                for (Future<Answer> answer : answers) {
                    slowest = Math.max(slowest, answer.get().millisAToken());
                }
                System.out.printf(
                        "     %d streams: %.3f ms a token, %.0f tok/s with their prompts%n",
                        streams, slowest, streams * 257 / seconds(began));
            }
        }
    }

    /// From the start of the ranks' processes to the first token; the other services are up, files in the
    /// page cache.
    private void restart() throws Exception {
        List<ServiceProcess> ranks = ranks();
        for (int run = 0; run < 2; run++) {
            ranks.forEach(ServiceProcess::kill);
            long began = System.nanoTime();
            ranks.forEach(ServiceProcess::start);
            // Until the group is there again the gateway may say so.
            while (client.post("/v1/chat/completions", chat("Hello!", 1).toString())
                            .statusCode()
                    != 200) {
                LockSupport.parkNanos(5_000_000);
            }
            double first = seconds(began);
            report(first < 10, "%.2f s from the process' start to the first token, limit 10", first);
        }
    }

    private List<ServiceProcess> ranks() {
        return cluster.services().stream()
                .filter(service -> service.name().startsWith("shard"))
                .toList();
    }

    /// `kill -9` of each rank in turn, in mid-stream: the stream goes on with the tokens it would have had.
    private void kill() throws Exception {
        ObjectNode chat = chat("Tell me a long story about a river and a mill.", TOKENS);
        Answer whole = ask(chat);
        for (ServiceProcess victim : ranks()) {
            List<Long> others = pids(victim);
            CountDownLatch inMidStream = new CountDownLatch(1);
            try (ExecutorService clients = Executors.newVirtualThreadPerTaskExecutor()) {
                Future<Answer> cut = clients.submit(() -> ask(chat, TOKENS / 4, inMidStream));
                inMidStream.await();
                victim.kill();
                boolean inTime = !cut.isDone();
                victim.start();
                Answer answer = cut.get();
                compare("kill -9 of " + victim.name(), whole, answer);
                report(inTime, "... in mid-stream; the longest pause was %.2f s", answer.longestGapSeconds());
            }
            report(pids(victim).equals(others), "... the other ranks %s live on", others);
        }
    }

    private List<Long> pids(ServiceProcess but) {
        return ranks().stream()
                .filter(rank -> rank != but)
                .filter(ServiceProcess::alive)
                .map(ServiceProcess::pid)
                .toList();
    }

    private void compare(String what, Answer expected, Answer actual) {
        int at = common(expected.ids(), actual.ids());
        int all = expected.ids().size();
        if (at == all && actual.ids().size() == all) {
            report(true, "%s: all %d tokens the same", what, all);
            return;
        }
        // What was computed before the cut is computed again by other kernels, in one piece: last bits
        // differ.
        double one = expected.completion().tokens().get(at).logprob();
        double other = actual.completion().tokens().get(at).logprob();
        report(
                actual.ids().size() == all && Math.abs(one - other) < CLOSE_CALL,
                "%s: %d of %d tokens the same; then log-probabilities %.4f and %.4f",
                what,
                at,
                all,
                one,
                other);
    }

    /// A rank that ends by itself in mid-stream, with a reason, is started again by whoever watches it:
    /// the stream goes on.
    private void supervise() throws Exception {
        Reference reference = Reference.all().stream()
                .filter(candidate -> candidate.ids().size() == 48)
                .findFirst()
                .orElseThrow();
        int ended = 0;
        try (ExecutorService clients = Executors.newVirtualThreadPerTaskExecutor()) {
            Future<Answer> stream = clients.submit(() -> ask(Client.chat(model, reference.messages(), 48)));
            while (!stream.isDone()) {
                for (ServiceProcess rank : ranks()) {
                    if (!rank.alive()) {
                        ended++;
                        report(rank.exitCode() == 1, "%s ended by itself, exit code %d", rank.name(), rank.exitCode());
                        rank.start();
                    }
                }
                LockSupport.parkNanos(5_000_000);
            }
            report(ended > 0, "%d processes ended in mid-stream", ended);
            int at = againstReference(reference, stream.get().ids());
            report(
                    at == reference.expectedTokens() || reference.margins().get(at) < CLOSE_CALL,
                    "the stream went on: %d of %d tokens as in float32; the longest pause was %.2f s",
                    at,
                    reference.expectedTokens(),
                    stream.get().longestGapSeconds());
        }
    }

    private static int againstReference(Reference reference, List<Integer> ids) {
        return common(ids, reference.ids().subList(0, reference.expectedTokens()));
    }
}
