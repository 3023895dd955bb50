package io.penstock.model.tokenizer;

import com.fasterxml.jackson.databind.JsonNode;
import com.google.errorprone.annotations.FormatMethod;
import com.google.errorprone.annotations.FormatString;
import io.penstock.model.checkpoint.CheckpointException;
import java.nio.file.Path;
import java.util.List;

/// The parts of a `tokenizer.json` that was made of a SentencePiece model, about how text is written
/// for it. Two ways are in use: a normalizer that puts a space before each text and spells spaces `▁`
/// (Llama 2), or the "Metaspace" pre-tokenizer that does the same.
///
/// @param form how text is written
/// @param everySpace whether each space begins a word of its own
record PieceJson(TextForm form, boolean everySpace) {
    private static final String SPACE = String.valueOf(PieceSymbols.SPACE);

    /// @param parts of the file, "model" without its lists
    /// @throws CheckpointException if one of them does what is not done here
    static PieceJson read(JsonNode parts) {
        JsonNode model = parts.path("model");
        if (model.path("ignore_merges").asBoolean()) {
            throw refusal("model.ignore_merges", "is not supported beside byte_fallback");
        }
        readDecoder(parts.path("decoder"));
        JsonNode splitter = parts.path("pre_tokenizer");
        boolean prepends = false;
        boolean replaces = false;
        for (JsonNode step : steps(parts.path("normalizer"), "normalizers")) {
            switch (step.path("type").asText()) {
                case "Prepend" -> {
                    expect(
                            "normalizer",
                            step,
                            !replaces
                                    && !prepends
                                    && step.path("prepend").asText().equals(SPACE));
                    prepends = true;
                }
                case "Replace" -> {
                    expect("normalizer", step, isReplacement(step, " ", SPACE));
                    replaces = true;
                }
                default -> throw refusal("normalizer", "%s is not supported", step.path("type"));
            }
        }
        if (replaces) {
            expect("pre_tokenizer", splitter, splitter.isMissingNode() || splitter.isNull());
            return new PieceJson(new TextForm.Pieces(prepends ? TextForm.Prefix.EVERY : TextForm.Prefix.NONE), false);
        }
        expect("normalizer", parts.path("normalizer"), !prepends);
        expect(
                "pre_tokenizer",
                splitter,
                splitter.path("type").asText().equals("Metaspace")
                        && splitter.path("replacement").asText().equals(SPACE));
        String otherwise = splitter.path("add_prefix_space").asBoolean(true) ? "always" : "never";
        TextForm.Prefix prefix = switch (splitter.path("prepend_scheme").asText(otherwise)) {
            case "always" -> TextForm.Prefix.EVERY_MISSING;
            case "first" -> TextForm.Prefix.FIRST_MISSING;
            case "never" -> TextForm.Prefix.NONE;
            default -> throw refusal("pre_tokenizer", "%s is not supported", splitter);
        };
        return new PieceJson(new TextForm.Pieces(prefix), splitter.path("split").asBoolean(true));
    }

    /// What makes text of tokens must be what makes them of text, backwards.
    private static void readDecoder(JsonNode decoder) {
        boolean spaces = false;
        for (JsonNode step : steps(decoder, "decoders")) {
            switch (step.path("type").asText()) {
                case "Replace" -> {
                    expect("decoder", step, isReplacement(step, SPACE, " "));
                    spaces = true;
                }
                case "Metaspace" -> {
                    expect("decoder", step, step.path("replacement").asText().equals(SPACE));
                    spaces = true;
                }
                // The space that was put before the text, which is not there in the middle of one.
                case "Strip" ->
                    expect(
                            "decoder",
                            step,
                            step.path("content").asText().equals(" ")
                                    && step.path("start").asInt() <= 1
                                    && step.path("stop").asInt() == 0);
                case "ByteFallback", "Fuse" -> {}
                default -> throw refusal("decoder", "%s is not supported", step.path("type"));
            }
        }
        expect("decoder", decoder, spaces);
    }

    private static boolean isReplacement(JsonNode step, String from, String to) {
        return step.path("pattern").path("String").asText().equals(from)
                && step.path("content").asText().equals(to);
    }

    private static Iterable<JsonNode> steps(JsonNode node, String list) {
        if (node.isMissingNode() || node.isNull()) {
            return List.of();
        }
        return node.path("type").asText().equals("Sequence") ? node.path(list) : List.of(node);
    }

    private static void expect(String where, JsonNode found, boolean holds) {
        if (!holds) {
            throw refusal(where, "%s is not supported of a vocabulary with byte_fallback", found);
        }
    }

    @FormatMethod
    private static CheckpointException refusal(String where, @FormatString String format, Object... arguments) {
        return new CheckpointException(Path.of(TokenizerJson.NAME), where, format, arguments);
    }
}
