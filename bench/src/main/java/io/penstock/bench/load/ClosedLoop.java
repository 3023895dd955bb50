package io.penstock.bench.load;

import java.net.URI;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import picocli.CommandLine.Option;

/// So many clients, each with one streamed chat at a time, seeded prompts of mixed lengths. Every
/// stream is checked to the token: as many log-probability entries as the usage says, one finish
/// reason, `[DONE]` last; and greedy answers to the same prompt must be equal, so a token lost,
/// doubled or taken from another stream is seen.
public final class ClosedLoop {
    private static final String[] WORDS =
            ("river stone lamp winter engine letter garden copper harbour music bridge paper mountain "
                            + "window silver forest market candle anchor thunder orchard velvet compass meadow")
                    .split(" ");

    @Option(names = "--concurrency", description = "Clients (default: ${DEFAULT-VALUE}).")
    private int concurrency = 8;

    @Option(names = "--seconds", description = "No chat begins after this long (default: ${DEFAULT-VALUE}).")
    private int seconds = 60;

    @Option(names = "--requests", description = "At most so many chats (default: no bound).")
    private int requests = Integer.MAX_VALUE;

    @Option(names = "--prompt-words", arity = "2", description = "Least and most words (default: 4 and 200).")
    private int[] promptWords = {4, 200};

    @Option(names = "--max-tokens", arity = "2", description = "Least and most tokens asked for (default: 4 and 128).")
    private int[] maxTokens = {4, 128};

    @Option(names = "--prompts", description = "Distinct prompts (default: ${DEFAULT-VALUE}).")
    private int prompts = 64;

    @Option(names = "--seed", description = "Of prompts and their order (default: ${DEFAULT-VALUE}).")
    private long seed = 1;

    private final AtomicInteger begun = new AtomicInteger();
    private final ConcurrentLinkedQueue<StreamedChat.Timing> timings = new ConcurrentLinkedQueue<>();
    private final ConcurrentLinkedQueue<String> faults = new ConcurrentLinkedQueue<>();
    private final Map<Integer, String> answers = new ConcurrentHashMap<>();

    /// Returns when the last chat has ended; prints what there was.
    ///
    /// @return whether there were chats, and none was wrong
    public boolean run(URI url, String model) throws InterruptedException, ExecutionException {
        long begin = System.nanoTime();
        long end = begin + TimeUnit.SECONDS.toNanos(seconds);
        List<Callable<Void>> clients = new ArrayList<>();
        for (int client = 0; client < concurrency; client++) {
            RandomGenerator random =
                    RandomGeneratorFactory.of("L64X128MixRandom").create(seed * 31 + client);
            clients.add(() -> chats(new StreamedChat(url, model, true), random, end));
        }
        try (ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
            for (Future<Void> client : threads.invokeAll(clients)) {
                client.get();
            }
        }
        report((System.nanoTime() - begin) / 1e9);
        return faults.isEmpty() && !timings.isEmpty();
    }

    private Void chats(StreamedChat chat, RandomGenerator random, long end) {
        while (System.nanoTime() < end && begun.incrementAndGet() <= requests) {
            int prompt = random.nextInt(prompts);
            try {
                StreamedChat.Result result = chat.ask(text(prompt), tokens(prompt));
                timings.add(result.timing());
                String earlier = answers.putIfAbsent(prompt, result.text());
                if (earlier != null && !earlier.equals(result.text())) {
                    faults.add("prompt %d was answered differently: %s / %s".formatted(prompt, earlier, result.text()));
                }
            } catch (StreamedChat.WrongStream e) {
                faults.add(e.getMessage());
            }
        }
        return null;
    }

    private RandomGenerator of(int prompt) {
        return RandomGeneratorFactory.of("L64X128MixRandom").create(seed * 1_000_003 + prompt);
    }

    private String text(int prompt) {
        RandomGenerator random = of(prompt);
        int words = random.nextInt(promptWords[0], promptWords[1] + 1);
        StringBuilder text = new StringBuilder("Use these words in a story:");
        for (int i = 0; i < words; i++) {
            text.append(' ').append(WORDS[random.nextInt(WORDS.length)]);
        }
        return text.toString();
    }

    private int tokens(int prompt) {
        return RandomGeneratorFactory.of("L64X128MixRandom")
                .create(seed * 7_919 + prompt)
                .nextInt(maxTokens[0], maxTokens[1] + 1);
    }

    private void report(double elapsed) {
        double[] first = timings.stream()
                .mapToDouble(StreamedChat.Timing::firstMillis)
                .sorted()
                .toArray();
        double[] gap = timings.stream()
                .mapToDouble(StreamedChat.Timing::gapMillis)
                .sorted()
                .toArray();
        long tokens = timings.stream().mapToLong(StreamedChat.Timing::tokens).sum();
        System.out.printf(
                Locale.ROOT,
                "{\"streams\": %d, \"faults\": %d, \"seconds\": %.1f, \"output_tokens_per_second\": %.1f, "
                        + "\"ttft_ms\": {\"p50\": %.0f, \"p95\": %.0f}, \"token_gap_ms\": {\"p50\": %.1f, \"p95\": %.1f}}%n",
                timings.size(),
                faults.size(),
                elapsed,
                tokens / elapsed,
                at(first, 0.5),
                at(first, 0.95),
                at(gap, 0.5),
                at(gap, 0.95));
        faults.stream().limit(20).forEach(System.err::println);
    }

    private static double at(double[] sorted, double share) {
        return sorted.length == 0 ? Double.NaN : sorted[(int) Math.min(sorted.length - 1, sorted.length * share)];
    }
}
