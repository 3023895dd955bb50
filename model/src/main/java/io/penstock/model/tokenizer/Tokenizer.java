package io.penstock.model.tokenizer;

import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.OptionalInt;
import java.util.Set;

/// Text to token ids and back, as the model was trained with. Immutable and safe for use by many threads.
public interface Tokenizer {
    int vocabularySize();

    /// @return ids without any begin-of-sequence token; special tokens only where the text is trusted
    int[] encode(PromptText prompt);

    /// Bytes of one token: UTF-8, though one token may hold part of a character. Empty for ids that stand for no text
    /// (special tokens).
    ///
    /// @param id in [0, vocabularySize)
    byte[] bytes(int id);

    /// How the token is spelt where a name is wanted rather than its bytes: special tokens too.
    String piece(int id);

    /// @return the id of a special token spelt so
    OptionalInt special(String piece);

    /// Begin-of-sequence token that completions without a template start with, if the model wants one.
    OptionalInt beginOfSequence();

    /// Ids that end a turn or a text; the default stop ids of a request.
    Set<Integer> endOfSequence();

    /// @return a decoder for one stream of tokens
    default TextDecoder decoder() {
        return new TextDecoder(this, Map.of());
    }

    /// @param shown special tokens that are text to whoever reads on, as `<|python_tag|>` is to a parser of calls;
    /// those
    ///     that the model does not have are passed over
    /// @return a decoder for one stream of tokens
    default TextDecoder decoder(Set<String> shown) {
        Map<Integer, byte[]> texts = new HashMap<>();
        for (String piece : shown) {
            special(piece).ifPresent(id -> texts.put(id, piece.getBytes(StandardCharsets.UTF_8)));
        }
        return new TextDecoder(this, texts);
    }
}
