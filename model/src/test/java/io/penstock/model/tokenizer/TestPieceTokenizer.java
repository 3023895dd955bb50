package io.penstock.model.tokenizer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.penstock.model.checkpoint.CheckpointException;
import io.penstock.model.checkpoint.Checkpoints;
import io.penstock.model.checkpoint.GgufCheckpoint;
import io.penstock.model.checkpoint.LocalFiles;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.Set;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// Models of Llama 2's kind read what they were trained on: SentencePiece's tokens, from either file
/// that has them. `tools/references/sentencepiece_reference.py` makes the vocabulary and the cases.
final class TestPieceTokenizer {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final int NORMAL = 1;
    private static final int UNKNOWN = 2;
    private static final int CONTROL = 3;
    private static final int BYTE = 6;

    @TempDir
    Path folder;

    /// Of many cases all that differ, not the first alone.
    private static void assertEqualIds(Map<String, Tokenizer> tokenizers, List<JsonNode> cases, boolean trusted)
            throws IOException {
        List<String> wrong = new ArrayList<>();
        for (JsonNode one : cases) {
            int[] ids = tokenizers
                    .get(one.get(0).textValue())
                    .encode(new PromptText(
                            List.of(new PromptText.Piece(one.get(1).textValue(), trusted))));
            if (!Arrays.equals(ids, JSON.treeToValue(one.get(2), int[].class))) {
                wrong.add("%s: %s".formatted(one, Arrays.toString(ids)));
            }
        }
        assertThat(wrong.stream().limit(5).toList())
                .as("%d of %d cases differ", wrong.size(), cases.size())
                .isEmpty();
        assertThat(cases.size()).isGreaterThan(100);
    }

    private static List<String> lines(String name) throws IOException {
        String given = System.getProperty("penstock.tokenizer.pieces");
        return given == null ? resource(name).lines().toList() : Files.readAllLines(Path.of(given, name));
    }

    private static String resource(String name) throws IOException {
        try (InputStream bytes = TestPieceTokenizer.class.getResourceAsStream("pieces/" + name)) {
            return new String(bytes.readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    private Tokenizer gguf() throws IOException {
        Path file = folder.resolve("pieces.gguf");
        try (InputStream bytes = TestPieceTokenizer.class.getResourceAsStream("pieces/pieces.gguf")) {
            Files.write(file, bytes.readAllBytes());
        }
        return GgufVocabulary.of(((GgufCheckpoint) Checkpoints.open(file)).metadata())
                .tokenizer(file);
    }

    @Test
    void vocabularyOfGgufGivesTheIdsOfSentencePiece() throws IOException {
        List<JsonNode> cases = new ArrayList<>();
        for (String line : lines("sentencepiece.jsonl")) {
            ArrayNode one = JSON.createArrayNode().add("gguf");
            JSON.readTree(line).forEach(one::add);
            cases.add(one);
        }
        // SentencePiece takes no text for a control token, wherever it comes from.
        assertEqualIds(Map.of("gguf", gguf()), cases, false);
    }

    /// The vocabulary written in another of the ways that files write text for it.
    private Tokenizer json(String kind) throws IOException {
        ObjectNode file = (ObjectNode) JSON.readTree(resource("tokenizer.json"));
        if (kind.equals("replaced")) {
            file.set("normalizer", file.path("normalizer").path("normalizers").get(1));
        } else if (!kind.equals("legacy")) {
            file.putNull("normalizer");
            file.putObject("pre_tokenizer")
                    .put("type", "Metaspace")
                    .put("replacement", "▁")
                    .put("prepend_scheme", kind.equals("split") ? "first" : kind)
                    .put("split", kind.equals("split"));
        }
        return read(file.toString());
    }

    private Tokenizer read(String json) throws IOException {
        Files.writeString(folder.resolve("tokenizer.json"), json);
        try (LocalFiles files = LocalFiles.at(folder)) {
            return TokenizerJson.read(files, TokenizerConfig.read(files));
        }
    }

    @Test
    void everyWayToWriteTextGivesTheIdsOfTokenizersAndTheTextBack() throws IOException {
        Map<String, Tokenizer> tokenizers = new HashMap<>();
        for (String kind : List.of("legacy", "replaced", "first", "always", "never", "split")) {
            tokenizers.put(kind, json(kind));
        }
        List<JsonNode> cases = new ArrayList<>();
        for (String line : lines("tokenizers.jsonl")) {
            cases.add(JSON.readTree(line));
        }
        assertEqualIds(tokenizers, cases, true);
        for (JsonNode one : cases) {
            TextDecoder decoder = tokenizers.get(one.get(0).textValue()).decoder();
            StringBuilder text = new StringBuilder();
            for (int id : JSON.treeToValue(one.get(2), int[].class)) {
                text.append(decoder.append(id));
            }
            text.append(decoder.finish());
            // Ours goes on where a prompt ended; the reference's begins a text, and drops the space before it.
            assertThat(text.toString().replaceFirst("^ ", ""))
                    .as("%s", one)
                    .isEqualTo(one.get(3).textValue());
        }
    }

    /// The ids of Llama 2's own `tokenizer.json`, whose merges are listed, from its scores alone.
    @Test
    void scoresMergeAsTheListThatWasMadeOfThemDoes() throws IOException {
        JsonNode file = JSON.readTree(
                RealTokenizers.folder("llama2").resolve(TokenizerJson.NAME).toFile());
        List<String> tokens = new ArrayList<>(Collections.nCopies(32_000, ""));
        file.path("model")
                .path("vocab")
                .properties()
                .forEach(piece -> tokens.set(piece.getValue().intValue(), piece.getKey()));
        // All merges that make a piece stand together in the list, the best piece's first.
        Map<String, Float> best = new HashMap<>();
        for (JsonNode merge : file.path("model").path("merges")) {
            best.putIfAbsent(merge.textValue().replace(" ", ""), (float) -best.size());
        }
        List<Float> scores = new ArrayList<>();
        List<Integer> types = new ArrayList<>();
        for (int id = 0; id < tokens.size(); id++) {
            scores.add(best.getOrDefault(tokens.get(id), -1e9f));
            types.add(id == 0 ? UNKNOWN : id < 3 ? CONTROL : id < 259 ? BYTE : NORMAL);
        }
        GgufVocabulary vocabulary = new GgufVocabulary(
                "llama", "default", tokens, scores, types, List.of(), true, OptionalInt.of(1), true, Set.of(2));
        Tokenizer scored = vocabulary.tokenizer(Path.of("llama2.gguf"));
        Tokenizer listed = RealTokenizers.get("llama2");
        assertThat(scored.beginOfSequence()).hasValue(1);
        assertThat(scored.endOfSequence()).containsExactly(2);
        int cases = 0;
        for (String line : resource("../llama2.jsonl").lines().toList()) {
            PromptText text = PromptText.trusted(JSON.readTree(line).get(0).textValue());
            // Unknown characters' own token is found in text only where a file says so.
            if (!text.text().contains("<unk>")) {
                assertThat(scored.encode(text)).as(line).isEqualTo(listed.encode(text));
                cases++;
            }
        }
        assertThat(cases).isGreaterThan(150);
    }

    @Test
    void whatPeopleWriteIsNeverASpecialTokenOrAByte() throws IOException {
        for (Tokenizer tokenizer : List.of(gguf(), json("legacy"), RealTokenizers.get("llama2"))) {
            for (String token : List.of("<s>", "</s>", "<unk>", "<|control|>", "<|user|>", "<0x41>")) {
                int[] ids = tokenizer.encode(PromptText.untrusted(token));
                assertThat(ids).as(token).hasSizeGreaterThan(1);
                assertThat(Arrays.stream(ids).mapToObj(tokenizer::piece)).doesNotContain(token);
            }
            assertThat(tokenizer.encode(PromptText.trusted("</s>"))).containsExactly(2);
            assertThat(tokenizer.bytes(2)).isEmpty();
        }
    }

    /// Made so that the letters of a special token, and of a byte, would merge into it.
    @Test
    void noMergeMakesASpecialToken() {
        List<String> tokens = new ArrayList<>(List.of("<unk>", "<s>", "</s>"));
        List<Integer> types = new ArrayList<>(List.of(UNKNOWN, CONTROL, CONTROL));
        for (int value = 0; value < 256; value++) {
            tokens.add("<0x%02X>".formatted(value));
            types.add(BYTE);
        }
        for (String piece :
                List.of("<", "s", ">", "/", "</", "s>", "0", "x", "4", "1", "<0x4", "1>", "<0", "x4", "é!")) {
            tokens.add(piece);
            types.add(NORMAL);
        }
        GgufVocabulary vocabulary = new GgufVocabulary(
                "llama",
                "default",
                tokens,
                Collections.nCopies(tokens.size(), -1f),
                types,
                List.of(),
                false,
                OptionalInt.empty(),
                true,
                Set.of());
        Tokenizer tokenizer = vocabulary.tokenizer(Path.of("x.gguf"));
        assertThat(names(tokenizer, "</s>")).containsExactly("</", "s>");
        assertThat(names(tokenizer, "<0x41>")).containsExactly("<0x4", "1>");
        // Neither letter is a piece; together they are one.
        assertThat(names(tokenizer, "é!")).containsExactly("é!");
        assertThat(names(tokenizer, "é?")).containsExactly("<0xC3>", "<0xA9>", "<0x3F>");
        assertThat(tokenizer.beginOfSequence()).isEmpty();
    }

    private static List<String> names(Tokenizer tokenizer, String text) {
        return Arrays.stream(tokenizer.encode(PromptText.untrusted(text)))
                .mapToObj(tokenizer::piece)
                .toList();
    }

    @Test
    void hostileTextTakesLinearTime() throws IOException {
        for (Tokenizer tokenizer : List.of(gguf(), json("legacy"), json("split"), RealTokenizers.get("llama2"))) {
            Assertions.assertTimeoutPreemptively(Duration.ofSeconds(60), () -> {
                for (String part : List.of("a", " ", "\n", "\u0301", "e ", "▁", "<0x41>", "\u4e00", "the ")) {
                    String text = part.repeat(1_000_000 / part.length());
                    assertThat(tokenizer.encode(PromptText.untrusted(text))).isNotEmpty();
                }
                assertThat(tokenizer.encode(PromptText.trusted("<s".repeat(500_000))))
                        .isNotEmpty();
            });
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"scores", "types", "byte", "number", "model"})
    void brokenVocabulariesOfGgufAreRefused(String fault) {
        List<String> tokens = new ArrayList<>();
        for (int value = 0; value < 256; value++) {
            tokens.add("<0x%02X>".formatted(value));
        }
        if (fault.equals("byte")) {
            tokens.set(65, "<0x4a>");
        }
        List<Float> scores = new ArrayList<>(Collections.nCopies(fault.equals("scores") ? 255 : 256, 0f));
        if (fault.equals("number")) {
            scores.set(7, Float.NaN);
        }
        GgufVocabulary broken = new GgufVocabulary(
                fault.equals("model") ? "t5" : "llama",
                "default",
                tokens,
                scores,
                Collections.nCopies(fault.equals("types") ? 3 : 256, BYTE),
                List.of(),
                true,
                OptionalInt.empty(),
                true,
                Set.of());
        assertThatThrownBy(() -> broken.tokenizer(Path.of("x.gguf")))
                .isInstanceOf(CheckpointException.class)
                .hasMessageStartingWith("x.gguf: tokenizer.ggml.");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '#',
            value = {
                "\"ignore_merges\":false # \"ignore_merges\":true",
                "\"prepend\":\"▁\"      # \"prepend\":\"_\"",
                "\"Prepend\"            # \"Lowercase\"",
                "\"content\":\"▁\"      # \"content\":\"_\"",
                "\"Fuse\"               # \"CTC\"",
                "\"start\":1            # \"start\":2",
                "{\"String\":\"▁\"}     # {\"String\":\"_\"}",
                "\"pre_tokenizer\":null # \"pre_tokenizer\":{\"type\":\"ByteLevel\"}",
                "\"<0x41>\"             # \"<0x4a>\"",
            })
    void whatIsNotDoneIsRefused(String from, String to) throws IOException {
        String json = resource("tokenizer.json");
        assertThat(json).contains(from.strip());
        assertThatThrownBy(() -> read(json.replace(from.strip(), to.strip())))
                .isInstanceOf(CheckpointException.class)
                .hasMessageStartingWith("tokenizer.json: ");
    }
}
