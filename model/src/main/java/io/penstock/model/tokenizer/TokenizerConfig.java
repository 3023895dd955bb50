package io.penstock.model.tokenizer;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.penstock.model.checkpoint.CheckpointException;
import io.penstock.model.checkpoint.CheckpointFiles;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;

/// What a Hugging Face folder says of its tokenizer outside `tokenizer.json`: `tokenizer_config.json`,
/// `generation_config.json` and `chat_template.jinja`, each of which may be missing.
///
/// @param addsBegin whether encoding adds the begin-of-sequence token; empty if it is not said
/// @param begin spelling of the begin-of-sequence token
/// @param end spelling of the end-of-sequence token
/// @param endIds ids that end generation
/// @param chatTemplate Jinja source
public record TokenizerConfig(
        Optional<Boolean> addsBegin,
        Optional<String> begin,
        Optional<String> end,
        Set<Integer> endIds,
        Optional<String> chatTemplate) {
    private static final long LARGEST_FILE = 16L << 20;
    private static final ObjectMapper JSON = new ObjectMapper();

    public TokenizerConfig {
        endIds = Set.copyOf(endIds);
    }

    /// @throws CheckpointException if one of the files is broken or too large
    public static TokenizerConfig read(CheckpointFiles files) {
        JsonNode config = json(files, "tokenizer_config.json");
        JsonNode adds = config.path("add_bos_token");
        return new TokenizerConfig(
                adds.isBoolean() ? Optional.of(adds.booleanValue()) : Optional.empty(),
                spelling(config.path("bos_token")),
                spelling(config.path("eos_token")),
                endIds(files, "generation_config.json"),
                text(files, "chat_template.jinja").or(() -> template(config.path("chat_template"))));
    }

    /// A token is written as a string, or as an object that says how it is found in text.
    private static Optional<String> spelling(JsonNode token) {
        JsonNode text = token.isObject() ? token.path("content") : token;
        return text.isTextual() ? Optional.of(text.textValue()) : Optional.empty();
    }

    /// One template, or a list of named ones, of which "default" is the one for chats.
    private static Optional<String> template(JsonNode node) {
        for (JsonNode named : node) {
            if (named.path("name").asText().equals("default")
                    && named.path("template").isTextual()) {
                return Optional.of(named.path("template").textValue());
            }
        }
        return node.isTextual() ? Optional.of(node.textValue()) : Optional.empty();
    }

    private static Set<Integer> endIds(CheckpointFiles files, String name) {
        JsonNode ids = json(files, name).path("eos_token_id");
        Set<Integer> ends = new TreeSet<>();
        for (JsonNode id : ids.isArray() ? ids : JSON.createArrayNode().add(ids)) {
            if (id.isMissingNode() || id.isNull()) {
                continue;
            }
            if (!id.isInt() || id.intValue() < 0 || id.intValue() >= Vocabulary.LARGEST) {
                throw new CheckpointException(Path.of(name), "eos_token_id", "%s is no token id", id);
            }
            ends.add(id.intValue());
        }
        return ends;
    }

    private static JsonNode json(CheckpointFiles files, String name) {
        try {
            return JSON.readTree(text(files, name).orElse("{}"));
        } catch (JsonProcessingException broken) {
            throw new CheckpointException(Path.of(name), "$", broken, "%s", broken.getOriginalMessage());
        }
    }

    private static Optional<String> text(CheckpointFiles files, String name) {
        if (!files.names().contains(name)) {
            return Optional.empty();
        }
        long size = files.size(name);
        if (size > LARGEST_FILE) {
            throw new CheckpointException(
                    Path.of(name), "size", "%d bytes are over the limit of %d", size, LARGEST_FILE);
        }
        try {
            return Optional.of(StandardCharsets.UTF_8
                    .newDecoder()
                    .decode(files.head(name, size).asByteBuffer())
                    .toString());
        } catch (CharacterCodingException broken) {
            throw new CheckpointException(Path.of(name), "text", broken, "is not UTF-8");
        }
    }
}
