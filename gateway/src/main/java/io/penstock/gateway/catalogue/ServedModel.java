package io.penstock.gateway.catalogue;

import io.penstock.model.template.ChatFormat;
import io.penstock.model.template.ChatTemplate;
import io.penstock.model.tokenizer.Tokenizer;
import java.util.Optional;

/// A model that requests may name.
///
/// @param contextLength tokens of prompt and answer together
/// @param created when this gateway learned of it, seconds since 1970
/// @param longestToken in bytes; no text longer than this times the context fits
public record ServedModel(
        String name, String revision, int contextLength, long created, ChatFormat text, int longestToken) {

    static ServedModel of(String name, String revision, int contextLength, long created, ChatFormat text) {
        int longest = 1;
        for (int id = 0; id < text.tokenizer().vocabularySize(); id++) {
            longest = Math.max(longest, text.tokenizer().bytes(id).length);
        }
        return new ServedModel(name, revision, contextLength, created, text, longest);
    }

    public Tokenizer tokenizer() {
        return text.tokenizer();
    }

    public Optional<ChatTemplate> template() {
        return text.template();
    }
}
