package io.penstock.model.tokenizer;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.util.ByteBufferBackedInputStream;
import com.google.errorprone.annotations.FormatMethod;
import com.google.errorprone.annotations.FormatString;
import io.penstock.model.PenstockException;
import io.penstock.model.checkpoint.CheckpointException;
import io.penstock.model.checkpoint.CheckpointFiles;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/// Reads a `tokenizer.json` of Hugging Face's `tokenizers` that describes byte-level BPE, or
/// SentencePiece's with `byte_fallback`. What it holds and would be done otherwise here is refused, not
/// passed over.
public final class TokenizerJson {
    private static final long LARGEST_FILE = 256L << 20;
    /// Real ones have three.
    private static final int MOST_PATTERNS = 16;

    private static final ObjectMapper JSON = new ObjectMapper();

    /// What the file is called, in a checkpoint.
    public static final String NAME = "tokenizer.json";

    /// The file without the model's vocabulary and merges, which are too many to keep as nodes.
    private final ObjectNode parts = JSON.createObjectNode();

    private final Map<Integer, String> pieces = new HashMap<>();
    private final List<Vocabulary.Merge> merges = new ArrayList<>();

    private TokenizerJson() {}

    /// @param files of the checkpoint, [#NAME] among them
    /// @param config what other files say
    /// @throws CheckpointException if the file is broken, too large, or describes what is not done here
    public static Tokenizer read(CheckpointFiles files, TokenizerConfig config) {
        long size = files.size(NAME);
        if (size > LARGEST_FILE) {
            throw refusal("size", "%d bytes are over the limit of %d", size, LARGEST_FILE);
        }
        TokenizerJson json = new TokenizerJson();
        try (InputStream bytes =
                new ByteBufferBackedInputStream(files.head(NAME, size).asByteBuffer())) {
            json.read(bytes);
            return new BpeTokenizer(json.vocabulary(config));
        } catch (IOException broken) {
            // Of the text alone, that is: its bytes are in memory.
            throw new CheckpointException(Path.of(NAME), "$", broken, "%s", broken.getMessage());
        } catch (CheckpointException refusal) {
            throw refusal;
        } catch (PenstockException refusal) {
            throw new CheckpointException(Path.of(NAME), "$", refusal, "%s", refusal.getMessage());
        }
    }

    private void read(InputStream bytes) throws IOException {
        try (JsonParser parser = JSON.createParser(bytes)) {
            if (parser.nextToken() != JsonToken.START_OBJECT) {
                throw refusal("$", "is no object");
            }
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String name = parser.currentName();
                if (parser.nextToken() == JsonToken.START_OBJECT && name.equals("model")) {
                    readModel(parser);
                } else {
                    parts.set(name, JSON.readTree(parser));
                }
            }
        }
    }

    private void readModel(JsonParser parser) throws IOException {
        ObjectNode model = parts.putObject("model");
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            String name = parser.currentName();
            JsonToken value = parser.nextToken();
            if (name.equals("vocab") && value == JsonToken.START_OBJECT) {
                readVocabulary(parser);
            } else if (name.equals("merges") && value == JsonToken.START_ARRAY) {
                readMerges(parser);
            } else {
                model.set(name, JSON.readTree(parser));
            }
        }
    }

    private void readVocabulary(JsonParser parser) throws IOException {
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            String piece = parser.currentName();
            parser.nextToken();
            int id = id(parser.getValueAsInt(-1), piece);
            String other = pieces.put(id, piece);
            if (other != null) {
                throw refusal("model.vocab", "\"%s\" and \"%s\" are both id %d", other, piece, id);
            }
        }
    }

    /// A merge is written as "left right", or as a list of the two.
    private void readMerges(JsonParser parser) throws IOException {
        for (JsonToken token = parser.nextToken(); token != JsonToken.END_ARRAY; token = parser.nextToken()) {
            List<String> pair = new ArrayList<>();
            if (token == JsonToken.VALUE_STRING) {
                pair.addAll(List.of(parser.getText().split(" ", -1)));
            } else if (token == JsonToken.START_ARRAY) {
                while (parser.nextToken() == JsonToken.VALUE_STRING) {
                    pair.add(parser.getText());
                }
            }
            if (pair.size() != 2) {
                throw refusal("model.merges[%d]".formatted(merges.size()), "is no pair of tokens");
            }
            merges.add(new Vocabulary.Merge(pair.getFirst(), pair.getLast()));
        }
    }

    private Vocabulary vocabulary(TokenizerConfig config) {
        JsonNode model = parts.path("model");
        if (!model.path("type").asText("BPE").equals("BPE") || pieces.isEmpty()) {
            throw refusal("model.type", "is %s; only BPE with a vocabulary is supported", model.path("type"));
        }
        boolean ofPieces = model.path("byte_fallback").asBoolean();
        refuseUnless(model.path("dropout"), "model.dropout");
        if (!ofPieces) {
            // Where each byte has a token, nothing is unknown.
            refuseUnless(model.path("unk_token"), "model.unk_token");
        }
        refuseUnless(model.path("continuing_subword_prefix"), "model.continuing_subword_prefix");
        refuseUnless(model.path("end_of_word_suffix"), "model.end_of_word_suffix");
        List<AddedToken> added = addedTokens();
        TextForm form;
        PreTokenizer preTokenizer;
        if (ofPieces) {
            PieceJson pieceJson = PieceJson.read(parts);
            form = pieceJson.form();
            preTokenizer = PieceSymbols.words(
                    pieceJson.everySpace(), merges.stream().map(merge -> merge.left() + merge.right()));
        } else {
            form = new TextForm.Bytes(composed(parts.path("normalizer"), "normalizer"));
            preTokenizer = new PreTokenizer(patterns());
        }
        return new Vocabulary(
                listed(added),
                Set.of(),
                added,
                new Vocabulary.Merging.Ranked(merges),
                model.path("ignore_merges").asBoolean(),
                form,
                preTokenizer,
                begin(config, added),
                ends(config, added));
    }

    /// Pieces by their ids. A few ids of real vocabularies are nobody's; most are not, so that a short file cannot make
    /// us take room for a long list.
    private List<String> listed(List<AddedToken> added) {
        int count = pieces.size() + added.size();
        int last = Stream.concat(pieces.keySet().stream(), added.stream().map(AddedToken::id))
                .max(Comparator.naturalOrder())
                .orElseThrow();
        if (last > 2 * count + 65_536) {
            throw refusal("model.vocab", "id %d is too high for %d tokens", last, count);
        }
        return Arrays.asList(IntStream.rangeClosed(
                        0,
                        pieces.keySet().stream().max(Comparator.naturalOrder()).orElseThrow())
                .mapToObj(pieces::get)
                .toArray(String[]::new));
    }

    /// Refuses a setting that is anything but absent, false or empty.
    private void refuseUnless(JsonNode setting, String where) {
        if (!setting.asText("").isEmpty() && !setting.isNull() && setting.asBoolean(true)) {
            throw refusal(where, "%s is not supported", setting);
        }
    }

    private List<AddedToken> addedTokens() {
        List<AddedToken> added = new ArrayList<>();
        for (JsonNode token : parts.path("added_tokens")) {
            String content = token.path("content").asText();
            added.add(new AddedToken(
                    id(token.path("id").asInt(-1), content),
                    content,
                    token.path("special").asBoolean(),
                    token.path("single_word").asBoolean(),
                    token.path("lstrip").asBoolean(),
                    token.path("rstrip").asBoolean(),
                    token.path("normalized").asBoolean()));
        }
        return added;
    }

    private boolean composed(JsonNode normalizer, String where) {
        return switch (normalizer.path("type").asText("")) {
            case "" -> false;
            case "NFC" -> true;
            case "Sequence" -> {
                boolean composed = false;
                for (JsonNode step : normalizer.path("normalizers")) {
                    composed |= composed(step, where + ".normalizers");
                }
                yield composed;
            }
            default -> throw refusal(where, "%s is not supported; NFC is", normalizer.path("type"));
        };
    }

    private List<SplitPattern> patterns() {
        JsonNode root = parts.path("pre_tokenizer");
        boolean sequence = root.path("type").asText().equals("Sequence");
        List<SplitPattern> patterns = new ArrayList<>();
        boolean byteLevel = false;
        for (JsonNode step :
                sequence ? root.path("pretokenizers") : JSON.createArrayNode().add(root)) {
            if (patterns.size() == MOST_PATTERNS) {
                throw refusal("pre_tokenizer", "has more than %d patterns", MOST_PATTERNS);
            }
            if (byteLevel) {
                throw refusal("pre_tokenizer", "ByteLevel is not the last step");
            }
            switch (step.path("type").asText()) {
                case "Split" -> patterns.add(split(step));
                case "Digits" ->
                    patterns.add(
                            PreTokenizer.digits(step.path("individual_digits").asBoolean()));
                case "ByteLevel" -> {
                    refuseUnless(step.path("add_prefix_space"), "pre_tokenizer.add_prefix_space");
                    if (step.path("use_regex").asBoolean(true)) {
                        patterns.add(SplitPatternParser.parse(PreTokenizer.GPT2));
                    }
                    byteLevel = true;
                }
                default -> throw refusal("pre_tokenizer", "%s is not supported", step.path("type"));
            }
        }
        if (!byteLevel) {
            throw refusal("pre_tokenizer", "has no ByteLevel step; only byte-level BPE is supported");
        }
        return patterns;
    }

    private SplitPattern split(JsonNode step) {
        JsonNode regex = step.path("pattern").path("Regex");
        if (!regex.isTextual()
                || !step.path("behavior").asText().equals("Isolated")
                || step.path("invert").asBoolean()) {
            throw refusal("pre_tokenizer", "%s is not supported; an isolating regular expression is", step);
        }
        return SplitPatternParser.parse(regex.textValue());
    }

    private OptionalInt begin(TokenizerConfig config, List<AddedToken> added) {
        JsonNode processor = parts.path("post_processor");
        boolean adds = config.addsBegin().orElseGet(() -> beginsTemplate(processor));
        return adds
                ? added.stream()
                        .filter(token -> config.begin().isPresent()
                                && token.content().equals(config.begin().get()))
                        .mapToInt(AddedToken::id)
                        .findFirst()
                : OptionalInt.empty();
    }

    private static boolean beginsTemplate(JsonNode processor) {
        if (processor.path("single").path(0).has("SpecialToken")) {
            return true;
        }
        for (JsonNode step : processor.path("processors")) {
            if (beginsTemplate(step)) {
                return true;
            }
        }
        return false;
    }

    private static Set<Integer> ends(TokenizerConfig config, List<AddedToken> added) {
        Set<Integer> ends = new TreeSet<>(config.endIds());
        added.stream()
                .filter(token -> config.end().isPresent()
                        && token.content().equals(config.end().get()))
                .forEach(token -> ends.add(token.id()));
        return ends;
    }

    private int id(int id, String piece) {
        if (id < 0 || id >= Vocabulary.LARGEST) {
            throw refusal("token \"" + piece + "\"", "id %d is not in [0, %d)", id, Vocabulary.LARGEST);
        }
        return id;
    }

    @FormatMethod
    private static CheckpointException refusal(String where, @FormatString String format, Object... arguments) {
        return new CheckpointException(Path.of(NAME), where, format, arguments);
    }
}
