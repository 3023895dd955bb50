package io.penstock.cli.system;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.penstock.cli.cluster.LocalCluster;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/// Clients that read a byte a second cost themselves their sequence, and nobody else a moment.
///
/// Times are compared within a round, and the best of the rounds counts: on a machine with other work
/// on it, that is the one in which both went undisturbed. Further rounds follow only while it is not.
final class SystemTestSlowReaders {
    private static final int SLOW = 2;
    private static final int MOST_ROUNDS = 6;
    private static final int TOKENS = 48;
    private static final int BUFFERED = 32;
    private static final double UNCHANGED = 1.25;

    private final Reference reference = Reference.all().stream()
            .filter(chat -> chat.ids().size() == TOKENS)
            .findFirst()
            .orElseThrow();

    private LocalCluster cluster;
    private Client client;

    @Test
    void costOthersNothing() throws Exception {
        try (LocalCluster started =
                Clusters.start(1, 1, Map.of("penstock.scheduler.stream-buffer-tokens", Integer.toString(BUFFERED)))) {
            cluster = started;
            client = new Client(cluster.gateway());
            gapMillis();
            double whileTheyRun = Double.MAX_VALUE;
            double onceTheyAreCancelled = Double.MAX_VALUE;
            for (int round = 0;
                    round < MOST_ROUNDS && Math.max(whileTheyRun, onceTheyAreCancelled) >= UNCHANGED;
                    round++) {
                double alone = gapMillis();
                double besideOthers = besideOthers();
                List<SlowReader> slow = new ArrayList<>();
                try {
                    for (int i = 0; i < SLOW; i++) {
                        slow.add(new SlowReader(cluster.gateway(), chat()));
                    }
                    Clusters.await("all run", () -> metric("vllm:num_requests_running") == SLOW);
                    whileTheyRun = Math.min(whileTheyRun, gapMillis() / besideOthers);
                    awaitIdle();
                    onceTheyAreCancelled = Math.min(onceTheyAreCancelled, gapMillis() / alone);
                } finally {
                    for (SlowReader reader : slow) {
                        reader.leave();
                    }
                }
                awaitIdle();
            }
            assertThat(whileTheyRun)
                    .as("time between tokens beside slow readers, against that beside as many others")
                    .isLessThan(UNCHANGED);
            assertThat(onceTheyAreCancelled)
                    .as("time between tokens beside slow readers whose sequences are cancelled, against that alone")
                    .isLessThan(UNCHANGED);
        }
    }

    /// All sequences are over, and their memory is free.
    private void awaitIdle() {
        Clusters.await(
                "nothing runs", () -> metric("vllm:num_requests_running") + metric("vllm:kv_cache_usage_perc") == 0);
    }

    private ObjectNode chat() {
        return Client.chat(Clusters.MODEL, reference.messages(), 2_000).put("ignore_eos", true);
    }

    /// @return mean time between the tokens of one chat, which must be the right ones
    private double gapMillis() throws Exception {
        long[] first = new long[1];
        long[] last = new long[1];
        reference.check(client.stream(Client.chat(Clusters.MODEL, reference.messages(), TOKENS), tokens -> {
            last[0] = System.nanoTime();
            first[0] = tokens == 1 ? last[0] : first[0];
        }));
        return (last[0] - first[0]) / 1e6 / (TOKENS - 1);
    }

    /// Of as many other chats that are read as they come.
    private double besideOthers() throws Exception {
        try (ExecutorService others = Executors.newVirtualThreadPerTaskExecutor()) {
            List<Future<Completion>> answers = new ArrayList<>();
            for (int i = 0; i < SLOW; i++) {
                answers.add(others.submit(() -> client.stream(chat().put("max_tokens", 3 * TOKENS), tokens -> {})));
            }
            Clusters.await("all run", () -> metric("vllm:num_requests_running") == SLOW);
            double gap = gapMillis();
            for (Future<Completion> answer : answers) {
                assertThat(answer.get().tokens()).hasSize(3 * TOKENS);
            }
            return gap;
        }
    }

    private double metric(String name) {
        try {
            Matcher line = Pattern.compile("(?m)^" + name + "\\{.*} (\\S+)$")
                    .matcher(new Client(cluster.service("scheduler").http())
                            .get("/q/metrics")
                            .body());
            assertThat(line.find()).as(name).isTrue();
            return Double.parseDouble(line.group(1));
        } catch (IOException e) {
            throw new AssertionError("the scheduler does not tell its metrics", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new AssertionError("interrupted", e);
        }
    }
}
