package io.penstock.bench.tokenizers;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.penstock.model.checkpoint.LocalFiles;
import io.penstock.model.tokenizer.PromptText;
import io.penstock.model.tokenizer.Tokenizer;
import io.penstock.model.tokenizer.TokenizerConfig;
import io.penstock.model.tokenizer.TokenizerJson;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import java.util.zip.CRC32;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/// `./penstock bench tokenizers`: megabytes of text that one thread makes tokens of in a second, in
/// turns with Hugging Face's tokenizers, with caches of words that are new and with those that have met
/// the texts.
@Command(
        name = "tokenizers",
        description = "Measures tokenizers, one thread, against Hugging Face's in the same run.",
        mixinStandardHelpOptions = true)
public final class TokenizerBench implements Callable<Integer> {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final int CODE_BYTES = 2_000_000;

    @Option(
            names = "--tokenizers",
            split = ",",
            defaultValue = "qwen2_5,qwen3,deepseek_v3,llama3_1,llama2",
            description = "folders of tools/fetch.sh tokenizers (default: ${DEFAULT-VALUE})")
    private List<String> names;

    @Option(names = "--repeats", defaultValue = "9", description = "counted rounds (default: ${DEFAULT-VALUE})")
    private int repeats;

    @Option(names = "--warm-ups", defaultValue = "5", description = "rounds before those (default: ${DEFAULT-VALUE})")
    private int warmUps;

    private final Path home = Path.of(System.getProperty("penstock.home", "."));

    @Override
    public Integer call() throws IOException, InterruptedException {
        fetch("tokenizers");
        fetch("tokenizer-peer");
        boolean equal = true;
        for (Corpus corpus : List.of(code(), languages())) {
            Path texts = Files.createTempFile("texts", ".json");
            try {
                JSON.writeValue(texts.toFile(), corpus.texts());
                for (String name : names) {
                    equal &= measure(name, corpus, texts);
                }
            } finally {
                Files.delete(texts);
            }
        }
        return equal ? 0 : 1;
    }

    private record Corpus(String name, List<String> texts) {
        double megabytes() {
            return texts.stream()
                            .mapToLong(text -> text.getBytes(StandardCharsets.UTF_8).length)
                            .sum()
                    / 1e6;
        }
    }

    /// This repository's own sources.
    private Corpus code() throws IOException {
        List<Path> files;
        try (Stream<Path> all = Files.walk(home)) {
            files = all.filter(file -> !file.toString().contains("/target/"))
                    .filter(file -> Stream.of(".java", ".py", ".cu", ".cuh", ".sh", ".md", ".yaml", ".proto")
                            .anyMatch(file.toString()::endsWith))
                    .sorted()
                    .toList();
        }
        List<String> texts = new ArrayList<>();
        int bytes = 0;
        for (Path file : files) {
            if (bytes < CODE_BYTES) {
                String text = Files.readString(file);
                texts.add(text);
                bytes += text.length();
            }
        }
        return new Corpus("code", texts);
    }

    /// The short texts that the tokenizers are tested on, in turns until they are some hundred kilobytes.
    private Corpus languages() throws IOException {
        Path file = home.resolve("model/src/test/resources/io/penstock/model/tokenizer/corpus.json");
        List<String> once = new ArrayList<>();
        for (JsonNode text : JSON.readTree(file.toFile())) {
            if (text.path("kind").textValue().equals("language")) {
                once.add(text.path("text").textValue());
            }
        }
        List<String> texts = new ArrayList<>();
        for (int turn = 0; turn < 30; turn++) {
            texts.addAll(once);
        }
        return new Corpus("languages", texts);
    }

    /// @return whether all ids are the peer's
    private boolean measure(String name, Corpus corpus, Path texts) throws IOException {
        Path folder = cache().resolve("tokenizers").resolve(name);
        try (TokenizerPeer peer = new TokenizerPeer(
                cache().resolve("tokenizer-peer/bin/python"),
                home.resolve("bench/tokenizers_peer.py"),
                folder.resolve(TokenizerJson.NAME),
                texts)) {
            double[][] ours = new double[2][repeats];
            double[][] theirs = new double[2][repeats];
            boolean equal = true;
            for (int repeat = -warmUps; repeat < repeats; repeat++) {
                Tokenizer tokenizer = read(folder);
                for (int warm = 0; warm < 2; warm++) {
                    Round own = round(tokenizer, corpus.texts());
                    Round other = peer.round(warm == 0);
                    equal &= own.ids() == other.ids();
                    if (repeat >= 0) {
                        ours[warm][repeat] = corpus.megabytes() / own.seconds();
                        theirs[warm][repeat] = corpus.megabytes() / other.seconds();
                    }
                }
            }
            for (int warm = 0; warm < 2; warm++) {
                System.out.printf(
                        Locale.ROOT,
                        "%-12s %-10s %s cache: ours %6.1f MB/s (%.1f to %.1f), tokenizers %s %6.1f (%.1f to %.1f): %.1fx%s%n",
                        name,
                        corpus.name(),
                        warm == 0 ? "cold" : "warm",
                        median(ours[warm]),
                        ours[warm][0],
                        ours[warm][repeats - 1],
                        peer.version(),
                        median(theirs[warm]),
                        theirs[warm][0],
                        theirs[warm][repeats - 1],
                        median(ours[warm]) / median(theirs[warm]),
                        equal ? "" : "  IDS DIFFER");
            }
            return equal;
        }
    }

    /// Sorts.
    private static double median(double[] rates) {
        Arrays.sort(rates);
        return rates[rates.length / 2];
    }

    /// Anew, so that its cache has met no word.
    private static Tokenizer read(Path folder) {
        try (LocalFiles files = LocalFiles.at(folder)) {
            return TokenizerJson.read(files, TokenizerConfig.read(files));
        }
    }

    private static Round round(Tokenizer tokenizer, List<String> texts) {
        List<int[]> all = new ArrayList<>(texts.size());
        long began = System.nanoTime();
        for (String text : texts) {
            // As a template's own words: added tokens are looked for, as the peer does.
            all.add(tokenizer.encode(PromptText.trusted(text)));
        }
        double seconds = (System.nanoTime() - began) / 1e9;
        CRC32 sum = new CRC32();
        for (int[] ids : all) {
            ByteBuffer bytes = ByteBuffer.allocate(ids.length * Integer.BYTES).order(ByteOrder.LITTLE_ENDIAN);
            bytes.asIntBuffer().put(ids);
            sum.update(bytes.array());
        }
        return new Round(seconds, sum.getValue());
    }

    private void fetch(String what) throws IOException, InterruptedException {
        int code = new ProcessBuilder(home.resolve("tools/fetch.sh").toString(), what)
                .inheritIO()
                .start()
                .waitFor();
        if (code != 0) {
            throw new IllegalStateException("tools/fetch.sh " + what + " has failed");
        }
    }

    private static Path cache() {
        String given = System.getenv("PENSTOCK_CACHE");
        return given == null ? Path.of(System.getProperty("user.home"), ".cache", "penstock") : Path.of(given);
    }
}
