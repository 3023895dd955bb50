package io.penstock.model.tokenizer;

import java.util.ArrayList;
import java.util.List;

/// A prompt as text, knowing which of it came from a person. Only the rest may hold special tokens: a user who writes
/// `<|im_end|>` gets it as eleven characters, never as the token.
///
/// @param pieces in order; neighbouring pieces are tokenised as one run of text wherever no special token parts them
public record PromptText(List<Piece> pieces) {
    /// @param trusted written by the chat template, not by a message
    public record Piece(String text, boolean trusted) {}

    public PromptText {
        pieces = List.copyOf(pieces);
    }

    public static PromptText untrusted(String text) {
        return new PromptText(List.of(new Piece(text, false)));
    }

    public static PromptText trusted(String text) {
        return new PromptText(List.of(new Piece(text, true)));
    }

    public String text() {
        List<String> texts = new ArrayList<>();
        pieces.forEach(piece -> texts.add(piece.text()));
        return String.join("", texts);
    }
}
