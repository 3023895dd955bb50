package io.penstock.model.tokenizer;

import java.nio.charset.StandardCharsets;
import java.util.Map;

/// Bytes of UTF-8, each a token.
final class ByteSymbols implements Symbols {
    private final int[] ids = new int[256];
    private final boolean composed;

    /// @param pieces ids by spelling
    ByteSymbols(Map<String, Integer> pieces, boolean composed) {
        this.composed = composed;
        for (int value = 0; value < 256; value++) {
            ids[value] = pieces.getOrDefault(ByteAlphabet.spell(value), -1);
        }
    }

    @Override
    public MarkedText normalized(MarkedText text) {
        return composed ? text.composed() : text;
    }

    @Override
    public MarkedText begun(MarkedText text, boolean first) {
        return text;
    }

    @Override
    public TokenIds of(char[] text, int start, int end) {
        byte[] word = new String(text, start, end - start).getBytes(StandardCharsets.UTF_8);
        TokenIds symbols = new TokenIds(word.length);
        for (byte value : word) {
            int id = ids[value & 0xFF];
            // A byte that no token spells is dropped, as the reference does without an unknown token.
            if (id >= 0) {
                symbols.add(id);
            }
        }
        return symbols;
    }

    @Override
    public byte[] bytes(String piece) {
        return ByteAlphabet.bytes(piece).orElseGet(() -> piece.getBytes(StandardCharsets.UTF_8));
    }
}
