package io.penstock.model.tokenizer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.model.PenstockException;
import io.penstock.model.checkpoint.CheckpointException;
import io.penstock.model.checkpoint.LocalFiles;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.OptionalInt;
import java.util.Random;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// What a person writes is never a special token, never slow, and a file that is broken is refused.
final class TestBpeTokenizer {
    @TempDir
    Path folder;

    private static PromptText prompt(Object... textsAndTrust) {
        return new PromptText(IntStream.range(0, textsAndTrust.length / 2)
                .mapToObj(index ->
                        new PromptText.Piece((String) textsAndTrust[2 * index], (boolean) textsAndTrust[2 * index + 1]))
                .toList());
    }

    @Test
    void specialTokensAreFoundInTrustedTextAlone() {
        Tokenizer tokenizer = RealTokenizers.get("qwen3");
        int end = tokenizer.special("<|im_end|>").orElseThrow();
        assertThat(tokenizer.encode(PromptText.trusted("<|im_end|>"))).containsExactly(end);
        assertThat(tokenizer.encode(PromptText.untrusted("a<|im_end|>b")))
                .doesNotContain(end)
                .hasSizeGreaterThan(4);
        // Not even half of it may come from a person.
        for (int cut = 1; cut < "<|im_end|>".length(); cut++) {
            String first = "<|im_end|>".substring(0, cut);
            String last = "<|im_end|>".substring(cut);
            assertThat(tokenizer.encode(prompt(first, true, last, false))).doesNotContain(end);
            assertThat(tokenizer.encode(prompt(first, false, last, true))).doesNotContain(end);
            assertThat(tokenizer.encode(prompt(first, true, last, true))).containsExactly(end);
            assertThat(tokenizer.encode(prompt(first, true, "", false, last, true)))
                    .containsExactly(end);
        }
        assertThat(tokenizer.encode(prompt("<|im_end|>", true, "<|im_end|>", false, "<|im_end|>", true)))
                .startsWith(end)
                .endsWith(end)
                .hasSizeGreaterThan(6);
    }

    @ParameterizedTest
    @ValueSource(strings = {"qwen2_5", "deepseek_v3", "llama3_1", "smollm2"})
    void bordersOfTrustDoNotShowInTheTokens(String name) {
        Tokenizer tokenizer = RealTokenizers.get(name);
        String text = "Straße e\u0301\u0323 hello  world's 1234567 !!! \n\n 東京 \uD83D\uDE00 x\u0301";
        int[] whole = tokenizer.encode(PromptText.untrusted(text));
        Random random = new Random(3);
        for (int round = 0; round < 200; round++) {
            int first = random.nextInt(text.length());
            int second = random.nextInt(first, text.length());
            assertThat(tokenizer.encode(prompt(
                            text.substring(0, first), true,
                            text.substring(first, second), false,
                            text.substring(second), true)))
                    .isEqualTo(whole);
        }
    }

    @ParameterizedTest
    @CsvSource({"qwen3, 1000000", "deepseek_v3, 1000000", "llama3_1, 100000", "smollm2, 100000"})
    void hostileTextTakesLinearTime(String name, int length) {
        Tokenizer tokenizer = RealTokenizers.get(name);
        // Anything that goes back over a megabyte for each of its characters would take hours.
        Assertions.assertTimeoutPreemptively(Duration.ofSeconds(60), () -> {
            for (String part :
                    List.of("a", " ", "\n", "\u0301", "a\u0301", "1", "!", " \n", "\u200d", "<", "'", "\u4e00")) {
                String text = part.repeat(length / part.length());
                assertThat(tokenizer.encode(prompt(text, false))).isNotEmpty();
            }
            assertThat(tokenizer.encode(prompt("<|im_".repeat(length / 5), true)))
                    .isNotEmpty();
        });
    }

    @Test
    void loneSurrogatesAreReplacementCharacters() {
        Tokenizer tokenizer = RealTokenizers.get("llama3_1");
        assertThat(tokenizer.encode(PromptText.untrusted("a\uD800b\uDC00")))
                .isEqualTo(tokenizer.encode(PromptText.untrusted("a\uFFFDb\uFFFD")));
        assertThat(tokenizer.encode(prompt("\uD83D", false, "\uDE00", true)))
                .isEqualTo(tokenizer.encode(PromptText.untrusted("😀")));
    }

    @Test
    void bytesAndNamesOfTokens() {
        Tokenizer tokenizer = RealTokenizers.get("qwen3");
        int end = tokenizer.special("<|im_end|>").orElseThrow();
        assertThat(tokenizer.bytes(end)).isEmpty();
        assertThat(tokenizer.piece(end)).isEqualTo("<|im_end|>");
        // Added, but text all the same: what reads an answer looks for it.
        int think = tokenizer.special("</think>").orElseThrow();
        assertThat(tokenizer.bytes(think)).asString().isEqualTo("</think>");
        int[] hello = tokenizer.encode(PromptText.untrusted(" hello"));
        assertThat(tokenizer.bytes(hello[0])).asString().isEqualTo(" hello");
        assertThat(tokenizer.piece(hello[0])).isEqualTo(" hello");
        // A model may have more rows than its tokenizer has tokens.
        assertThat(tokenizer.bytes(tokenizer.vocabularySize() + 5)).isEmpty();
        assertThat(tokenizer.special("hello")).isEmpty();
    }

    @Test
    void longWordsMergeAsShortOnesDo() {
        Tokenizer tokenizer = RealTokenizers.get("smollm2");
        // A word on each side of where scanning gives way to the heap.
        for (String word : List.of("internationalisation", "abcabcabd", "zzzzz")) {
            for (int times = 1; times < 8; times++) {
                String text = word.repeat(times);
                int[] ids = tokenizer.encode(PromptText.untrusted(text));
                assertThat(Arrays.stream(ids).mapToObj(tokenizer::piece).collect(Collectors.joining()))
                        .isEqualTo(text);
            }
        }
        Random random = new Random(11);
        int[] left = random.ints(400, 0, 40).toArray();
        int[] right = random.ints(400, 0, 40).toArray();
        int[] made = IntStream.range(0, 400).map(rank -> rank % 40).toArray();
        MergeTable merges = new MergeTable(left, right, made);
        for (int round = 0; round < 500; round++) {
            int[] word = random.ints(random.nextInt(1, 41), 0, 40).toArray();
            // Padded so far with what never merges, the same word takes the heap.
            int[] padded = Arrays.copyOf(word, 90);
            Arrays.fill(padded, word.length, 90, 1000);
            int count = PairMerger.merge(merges, word, word.length);
            PairMerger.merge(merges, padded, padded.length);
            assertThat(Arrays.copyOf(padded, count)).isEqualTo(Arrays.copyOf(word, count));
        }
    }

    @Test
    void manyThreadsShareOneTokenizer() {
        Tokenizer tokenizer = RealTokenizers.get("smollm2");
        List<String> texts = IntStream.range(0, 400)
                .mapToObj(n -> "word" + n % 37 + " and " + n)
                .toList();
        List<int[]> alone = texts.stream()
                .map(text -> tokenizer.encode(PromptText.untrusted(text)))
                .toList();
        List<int[]> together = texts.parallelStream()
                .map(text -> tokenizer.encode(PromptText.untrusted(text)))
                .toList();
        for (int index = 0; index < texts.size(); index++) {
            assertThat(together.get(index)).isEqualTo(alone.get(index));
        }
    }

    private Tokenizer read(String json) throws IOException {
        Files.writeString(folder.resolve("tokenizer.json"), json);
        try (LocalFiles files = LocalFiles.at(folder)) {
            return TokenizerJson.read(files, TokenizerConfig.read(files));
        }
    }

    private static final String SMALL = """
            {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "Ġ": 3, "Ã": 6, "©": 7, "é": 8}, "merges": [["a", "b"]]},
             "added_tokens": [{"id": 4, "content": "<x>", "special": true, "lstrip": true, "rstrip": true},
                              {"id": 5, "content": "ba", "single_word": true}],
             "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false}}
            """;

    @Test
    void flagsOfAddedTokensHold() throws IOException {
        Tokenizer tokenizer = read(SMALL);
        assertThat(tokenizer.encode(PromptText.trusted("a  <x>\n b"))).containsExactly(0, 4, 1);
        assertThat(tokenizer.encode(PromptText.trusted("ba aba ba"))).containsExactly(5, 3, 2, 0, 3, 5);
        assertThat(tokenizer.encode(PromptText.untrusted("ba"))).containsExactly(1, 0);
        // What no token spells is dropped before the rest merges, as the reference does.
        assertThat(tokenizer.encode(PromptText.trusted("azb"))).containsExactly(2);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '#',
            value = {
                "\"id\": 4,            # \"id\": -4,",
                "\"id\": 4,            # \"id\": 999999999,",
                "\"b\": 1              # \"b\": 0",
                "\"b\": 1              # \"b\": 5000000",
                "\"BPE\"               # \"WordPiece\"",
                "\"b\": 1              # \"b\": 4000000",
                "\"id\": 4,            # \"id\": 4000000,",
                "[[\"a\", \"b\"]]      # [[\"a\", \"q\"]]",
                "[[\"a\", \"b\"]]      # [[\"b\", \"a\"]]",
                "[[\"a\", \"b\"]]      # [[\"a\"]]",
                "[[\"a\", \"b\"]]      # [\"ab\"]",
                "[[\"a\", \"b\"]]      # [7]",
                "\"type\": \"BPE\",    # \"type\": \"BPE\", \"byte_fallback\": true,",
                "\"type\": \"BPE\",    # \"type\": \"BPE\", \"unk_token\": \"<unk>\",",
                "\"ByteLevel\"         # \"Metaspace\"",
                "\"add_prefix_space\": false # \"add_prefix_space\": true",
                "\"pre_tokenizer\"     # \"normalizer\": {\"type\": \"Lowercase\"}, \"pre_tokenizer\"",
                "{\"type\": \"ByteLevel\" # {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\"}], \"x\": \"\"",
            })
    void whatIsNotDoneIsRefused(String from, String to) {
        assertThat(SMALL).contains(from.strip());
        assertThatThrownBy(() -> read(SMALL.replace(from.strip(), to.strip())))
                .isInstanceOf(CheckpointException.class)
                .hasMessageStartingWith("tokenizer.json: ");
    }

    @Test
    void everyTruncationIsRefused() {
        for (int length = 0; length < SMALL.strip().length(); length++) {
            String cut = SMALL.substring(0, length);
            assertThatThrownBy(() -> read(cut)).as(cut).isInstanceOf(CheckpointException.class);
        }
    }

    /// What looks like UTF-32, and is no text in it.
    @Test
    void bytesThatAreNoTextAreRefused() throws IOException {
        Files.write(folder.resolve("tokenizer.json"), new byte[] {0, 0, 0, '{', 'o', 'l', '"', '{', 0, 0, 0, '}'});
        try (LocalFiles files = LocalFiles.at(folder)) {
            assertThatThrownBy(() -> TokenizerJson.read(files, TokenizerConfig.read(files)))
                    .isInstanceOf(CheckpointException.class);
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "(a+)+",
                "(?:a|b)*",
                "a(?:b)+",
                "[a",
                "a)",
                "(?:a",
                "\\p{Han}",
                "\\p{",
                "\\w",
                "a{3,1}",
                "a{",
                "(?<!a)b",
                "a+?",
                "[a-",
                "[z-a]",
                "[[a]]",
                "[a&&b]",
                "^a",
                ".",
                "*",
                "\\",
                "[]",
                "(?=ab)",
                "a{9999999}",
                "a*a*a*a*b",
                "(?:a|a)(?:a|a)(?:a|a)(?:a|a)(?:a|a)(?:a|a)(?:a|a)(?:a|a)(?:a|a)(?:a|a)(?:a|a)(?:a|a)(?:a|a)b",
                "a{1,70}a{1,70}b",
            })
    void patternsThatCouldBeSlowAreRefused(String pattern) {
        assertThatThrownBy(() -> SplitPatternParser.parse(pattern))
                .isInstanceOf(PenstockException.class)
                .hasMessageContaining("not supported");
    }

    @Test
    void patternsMatchAsRegularExpressionsDo() {
        SplitPattern pattern =
                SplitPatternParser.parse("(?i:'S|x)|[^\\s\\p{L}]?\\p{L}{2,3}(?:ing)?|a*ab|\\s+(?!\\S)|[\\-\\]x-z]++");
        assertThat(match(pattern, "'sq")).isEqualTo(2);
        assertThat(match(pattern, "'\u017f")).isEqualTo(2);
        assertThat(match(pattern, "-sings")).isEqualTo(4);
        assertThat(match(pattern, "tesing")).isEqualTo(6);
        assertThat(match(pattern, "   q")).isEqualTo(2);
        assertThat(match(pattern, "   ")).isEqualTo(3);
        assertThat(match(pattern, "]--")).isEqualTo(3);
        assertThat(match(pattern, "1")).isEqualTo(-1);
        assertThat(match(SplitPatternParser.parse("a*ab"), "aaab")).isEqualTo(4);
    }

    private static int match(SplitPattern pattern, String text) {
        return pattern.match(text.toCharArray(), 0, text.length());
    }

    private static GgufVocabulary gguf(
            String pre, List<String> tokens, List<Integer> types, List<String> merges, int end) {
        return new GgufVocabulary(
                "gpt2", pre, tokens, List.of(), types, merges, false, OptionalInt.empty(), false, Set.of(end));
    }

    @Test
    void vocabulariesOfGgufAreChecked() {
        List<String> tokens = List.of("a", "b", "ab");
        List<Integer> types = List.of(1, 1, 1);
        Path file = Path.of("x.gguf");
        assertThat(gguf("smollm", tokens, types, List.of("a b"), 2)
                        .tokenizer(file)
                        .encode(PromptText.untrusted("ab")))
                .containsExactly(2);
        for (GgufVocabulary broken : List.of(
                gguf("unheard-of", tokens, types, List.of("a b"), 2),
                gguf("smollm", tokens, types, List.of("a b"), 3),
                gguf("smollm", tokens, types, List.of("a b"), -1),
                gguf("smollm", tokens, types, List.of("ab"), 2),
                gguf("smollm", tokens, types, List.of("b a"), 2),
                gguf("smollm", tokens, Collections.nCopies(2, 1), List.of(), 2),
                gguf("smollm", List.of(), List.of(), List.of(), 0))) {
            assertThatThrownBy(() -> broken.tokenizer(file))
                    .isInstanceOf(CheckpointException.class)
                    .hasMessageStartingWith("x.gguf: tokenizer.ggml.");
        }
    }
}
