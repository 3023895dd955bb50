package io.penstock.model.tokenizer;

import java.util.Map;

/// Turns one stream of tokens into text, holding back bytes until they make whole characters. The pieces it returns
/// concatenate to the decoding of the whole; bytes that are no UTF-8 become U+FFFD, one for each longest beginning of a
/// character, as Python and the WHATWG Encoding Standard count them (the JDK counts an encoded surrogate as one).
public final class TextDecoder {
    private static final char REPLACEMENT = '\uFFFD';

    private final Tokenizer tokenizer;
    /// Texts of ids that stand for none elsewhere.
    private final Map<Integer, byte[]> shown;

    /// Of the character that has begun: its bits so far, and how many bytes it still needs.
    private int codePoint;

    private int needed;
    /// What its next byte may be.
    private int lowest = 0x80;

    private int highest = 0xBF;

    TextDecoder(Tokenizer tokenizer, Map<Integer, byte[]> shown) {
        this.tokenizer = tokenizer;
        this.shown = shown;
    }

    /// @return the whole characters that this token completed; often empty
    public String append(int id) {
        byte[] bytes = tokenizer.bytes(id);
        if (bytes.length == 0) {
            bytes = shown.getOrDefault(id, bytes);
        }
        StringBuilder out = new StringBuilder(bytes.length + 1);
        for (byte value : bytes) {
            accept(value & 0xFF, out);
        }
        return out.toString();
    }

    /// @return what is left at the end of the stream, a replacement character for a broken one
    public String finish() {
        boolean broken = needed > 0;
        begin(0, 0);
        return broken ? String.valueOf(REPLACEMENT) : "";
    }

    private void accept(int value, StringBuilder out) {
        if (needed == 0) {
            first(value, out);
            return;
        }
        if (value < lowest || value > highest) {
            // The character breaks off here, and this byte may begin another.
            out.append(REPLACEMENT);
            begin(0, 0);
            first(value, out);
            return;
        }
        begin(codePoint << 6 | (value & 0x3F), needed - 1);
        if (needed == 0) {
            out.appendCodePoint(codePoint);
        }
    }

    private void first(int value, StringBuilder out) {
        if (value < 0x80) {
            out.append((char) value);
        } else if (value >= 0xC2 && value <= 0xDF) {
            begin(value & 0x1F, 1);
        } else if (value >= 0xE0 && value <= 0xEF) {
            begin(value & 0x0F, 2);
            // Neither overlong nor a surrogate.
            lowest = value == 0xE0 ? 0xA0 : 0x80;
            highest = value == 0xED ? 0x9F : 0xBF;
        } else if (value >= 0xF0 && value <= 0xF4) {
            begin(value & 0x07, 3);
            // Neither overlong nor beyond the last code point.
            lowest = value == 0xF0 ? 0x90 : 0x80;
            highest = value == 0xF4 ? 0x8F : 0xBF;
        } else {
            out.append(REPLACEMENT);
        }
    }

    private void begin(int bits, int more) {
        codePoint = bits;
        needed = more;
        lowest = 0x80;
        highest = 0xBF;
    }
}
