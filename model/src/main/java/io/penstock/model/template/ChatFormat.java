package io.penstock.model.template;

import io.penstock.model.PenstockException;
import io.penstock.model.answer.AnswerFormat;
import io.penstock.model.checkpoint.CheckpointException;
import io.penstock.model.checkpoint.CheckpointFiles;
import io.penstock.model.checkpoint.Checkpoints;
import io.penstock.model.checkpoint.GgufCheckpoint;
import io.penstock.model.checkpoint.GgufMetadata;
import io.penstock.model.tokenizer.GgufVocabulary;
import io.penstock.model.tokenizer.Tokenizer;
import io.penstock.model.tokenizer.TokenizerConfig;
import io.penstock.model.tokenizer.TokenizerJson;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;

/// How a checkpoint turns a chat into tokens and tokens into text, read from the files it comes in.
///
/// @param tokenizer also knows what begins a text and ends one
/// @param template absent where the model was not trained to chat
/// @param tokens template variables that spell the model's tokens: `bos_token`, `eos_token`, those it has
/// @param answers how the model marks its thoughts and its calls of functions
public record ChatFormat(
        Tokenizer tokenizer, Optional<ChatTemplate> template, Map<String, String> tokens, AnswerFormat answers) {
    public ChatFormat {
        tokens = Map.copyOf(tokens);
    }

    /// Of a model whose answers are plain text.
    public ChatFormat(Tokenizer tokenizer, Optional<ChatTemplate> template, Map<String, String> tokens) {
        this(tokenizer, template, tokens, AnswerFormat.PLAIN);
    }

    private static ChatFormat of(Tokenizer tokenizer, Optional<String> template, Map<String, String> tokens) {
        return new ChatFormat(
                tokenizer,
                template.map(ChatFormat::template),
                tokens,
                template.map(AnswerFormat::of).orElse(AnswerFormat.PLAIN));
    }

    /// Reads `tokenizer.json` and the files beside it where there is one, else the GGUF file's own metadata.
    ///
    /// @param files of the checkpoint
    /// @throws CheckpointException if they are broken, or describe what is not done here
    public static ChatFormat read(CheckpointFiles files) {
        if (files.names().contains(TokenizerJson.NAME)) {
            TokenizerConfig config = TokenizerConfig.read(files);
            Map<String, String> tokens = new HashMap<>();
            config.begin().ifPresent(piece -> tokens.put("bos_token", piece));
            config.end().ifPresent(piece -> tokens.put("eos_token", piece));
            return of(TokenizerJson.read(files, config), config.chatTemplate(), tokens);
        }
        if (Checkpoints.open(files) instanceof GgufCheckpoint gguf) {
            return of(gguf.metadata());
        }
        throw new CheckpointException(
                Path.of(TokenizerJson.NAME),
                "file",
                "is missing among %s",
                files.names().stream().sorted().toList());
    }

    /// @param metadata of a GGUF file
    public static ChatFormat of(GgufMetadata metadata) {
        GgufVocabulary vocabulary = GgufVocabulary.of(metadata);
        Tokenizer tokenizer = vocabulary.tokenizer(Path.of("GGUF"));
        Map<String, String> tokens = new HashMap<>();
        // Both were checked to be ids of the vocabulary.
        metadata.tokenId("bos").ifPresent(id -> tokens.put("bos_token", tokenizer.piece((int) id)));
        metadata.tokenId("eos").ifPresent(id -> tokens.put("eos_token", tokenizer.piece((int) id)));
        return of(tokenizer, metadata.chatTemplate(), tokens);
    }

    private static ChatTemplate template(String source) {
        try {
            return JinjaTemplate.parse(source);
        } catch (PenstockException refusal) {
            throw new CheckpointException(Path.of("chat template"), "source", refusal, "%s", refusal.getMessage());
        }
    }
}
