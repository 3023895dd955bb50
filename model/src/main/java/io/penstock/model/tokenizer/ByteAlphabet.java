package io.penstock.model.tokenizer;

import java.util.Optional;

/// The spelling of bytes as printable characters in the vocabularies of byte-level BPE, as GPT-2's released encoder
/// defines it: printable Latin-1 bytes stand for themselves, the 68 others for U+0100 and up, in order.
final class ByteAlphabet {
    private static final int SIZE = 0x100 + 68;
    private static final char[] SPELLING = new char[256];
    private static final short[] VALUE = new short[SIZE];

    static {
        int next = 0x100;
        for (int value = 0; value < 256; value++) {
            boolean printable = (value >= '!' && value <= '~') || (value >= 0xA1 && value != 0xAD);
            SPELLING[value] = (char) (printable ? value : next++);
        }
        java.util.Arrays.fill(VALUE, (short) -1);
        for (int value = 0; value < 256; value++) {
            VALUE[SPELLING[value]] = (short) value;
        }
    }

    private ByteAlphabet() {}

    static String spell(int value) {
        return String.valueOf(SPELLING[value]);
    }

    /// @return the bytes that `piece` spells, or empty if one of its characters spells none
    static Optional<byte[]> bytes(String piece) {
        byte[] bytes = new byte[piece.length()];
        for (int index = 0; index < bytes.length; index++) {
            char letter = piece.charAt(index);
            if (letter >= SIZE || VALUE[letter] < 0) {
                return Optional.empty();
            }
            bytes[index] = (byte) VALUE[letter];
        }
        return Optional.of(bytes);
    }
}
