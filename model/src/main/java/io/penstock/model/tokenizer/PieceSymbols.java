package io.penstock.model.tokenizer;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.stream.Stream;

/// Characters, each a token if there is one and otherwise its bytes' tokens (SentencePiece with
/// `byte_fallback`).
final class PieceSymbols implements Symbols {
    /// What spaces are spelt with.
    static final char SPACE = '\u2581';

    private static final int NONE = -1;
    private static final int LENGTH_OF_BYTE = "<0x00>".length();

    private final int[] bytes = new int[256];
    /// By code point; most text needs no other table.
    private final int[] basic = new int[Character.MAX_VALUE + 1];

    private final Map<Integer, Integer> beyond = new HashMap<>();
    private final TextForm.Prefix prefix;

    /// @param pieces ids by spelling, of all tokens that text may become
    /// @throws PenstockException (corrupt) if a byte has no token
    PieceSymbols(Map<String, Integer> pieces, TextForm.Prefix prefix) {
        this.prefix = prefix;
        Arrays.fill(basic, NONE);
        pieces.forEach((piece, id) -> {
            if (piece.codePointCount(0, piece.length()) == 1) {
                put(piece.codePointAt(0), id);
            }
        });
        for (int value = 0; value < 256; value++) {
            String name = "<0x%02X>".formatted(value);
            Integer id = pieces.get(name);
            if (id == null) {
                throw new PenstockException(ErrorCategory.CORRUPT, "byte %s has no token", name);
            }
            bytes[value] = id;
        }
    }

    /// @param id of a character that is no token by itself, but part of some
    void put(int codePoint, int id) {
        if (codePoint < basic.length) {
            basic[codePoint] = id;
        } else {
            beyond.put(codePoint, id);
        }
    }

    boolean has(int codePoint) {
        return id(codePoint) != NONE;
    }

    private int id(int codePoint) {
        return codePoint < basic.length ? basic[codePoint] : beyond.getOrDefault(codePoint, NONE);
    }

    /// How text may be cut into words without a difference: before spaces, unless a token has one after
    /// something else.
    ///
    /// @param everySpace whether each space begins a word of its own, by the file's own wish
    /// @param made spellings that merges make
    static PreTokenizer words(boolean everySpace, Stream<String> made) {
        if (everySpace) {
            return new PreTokenizer(List.of(SplitPatternParser.parse(SPACE + "[^" + SPACE + "]*|[^" + SPACE + "]+")));
        }
        boolean inside = made.anyMatch(piece -> {
            int letter = 0;
            while (letter < piece.length() && piece.charAt(letter) == SPACE) {
                letter++;
            }
            return piece.indexOf(SPACE, letter) >= 0;
        });
        return new PreTokenizer(
                inside ? List.of() : List.of(SplitPatternParser.parse(SPACE + "+[^" + SPACE + "]*|[^" + SPACE + "]+")));
    }

    @Override
    public MarkedText normalized(MarkedText text) {
        MarkedText spaced = text.replaced(' ', SPACE);
        return prefix == TextForm.Prefix.EVERY ? spaced.after(SPACE) : spaced;
    }

    @Override
    public MarkedText begun(MarkedText text, boolean first) {
        boolean wanted = switch (prefix) {
            case NONE, EVERY -> false;
            case EVERY_MISSING -> true;
            case FIRST_MISSING -> first;
        };
        return wanted && !text.text().startsWith(String.valueOf(SPACE)) ? text.after(SPACE) : text;
    }

    @Override
    public TokenIds of(char[] text, int start, int end) {
        TokenIds symbols = new TokenIds(end - start);
        for (int index = start; index < end; ) {
            int codePoint = Character.codePointAt(text, index, end);
            index += Character.charCount(codePoint);
            int id = id(codePoint);
            if (id == NONE) {
                spell(codePoint, symbols);
            } else {
                symbols.add(id);
            }
        }
        return symbols;
    }

    /// Adds the tokens of a character's bytes.
    void spell(int codePoint, TokenIds out) {
        for (byte value : Character.toString(codePoint).getBytes(StandardCharsets.UTF_8)) {
            out.add(bytes[value & 0xFF]);
        }
    }

    @Override
    public byte[] bytes(String piece) {
        OptionalInt value = value(piece);
        return value.isPresent()
                ? new byte[] {(byte) value.getAsInt()}
                : piece.replace(SPACE, ' ').getBytes(StandardCharsets.UTF_8);
    }

    /// @return the byte that a token of this spelling stands for, if it is such a one
    static OptionalInt value(String piece) {
        if (piece.length() != LENGTH_OF_BYTE || !piece.startsWith("<0x") || piece.charAt(LENGTH_OF_BYTE - 1) != '>') {
            return OptionalInt.empty();
        }
        int high = digit(piece.charAt(3));
        int low = digit(piece.charAt(4));
        return high < 0 || low < 0 ? OptionalInt.empty() : OptionalInt.of(high << 4 | low);
    }

    private static int digit(char letter) {
        // Upper case alone: other spellings are text.
        return letter >= '0' && letter <= '9' ? letter - '0' : letter >= 'A' && letter <= 'F' ? letter - 'A' + 10 : -1;
    }
}
