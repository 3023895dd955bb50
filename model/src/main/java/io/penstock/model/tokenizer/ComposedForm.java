package io.penstock.model.tokenizer;

import java.text.Normalizer;

/// Unicode normal form C, as the reference brings text to it: by the tables of an old version of Unicode, to which the
/// marks and compositions of later ones are plain characters.
///
/// Such a character neither moves nor composes, so text normalises apart on its two sides.
final class ComposedForm {
    /// Below this character all text is in normal form C.
    private static final char FIRST_MARK = 0x300;

    /// First and last of each run of code points that tokenizers 0.23 leaves alone (crate
    /// unicode-normalization-alignments) and Unicode 16 does not: found by trying each.
    private static final int[] PLAIN = {
        0x7FD, 0x7FD, 0x897, 0x89F, 0x8CA, 0x8D3, 0x9FE, 0x9FE, 0xC3C, 0xC3C, 0xD3B, 0xD3C, 0xEBA, 0xEBA, 0x1715,
        0x1715, 0x1ABF, 0x1ACE, 0x1DF6, 0x1DFA, 0xA82C, 0xA82C, 0x105C9, 0x105C9, 0x105D2, 0x105D2, 0x105DA, 0x105DA,
        0x105E4, 0x105E4, 0x10D24, 0x10D27, 0x10D69, 0x10D6D, 0x10EAB, 0x10EAC, 0x10EFD, 0x10EFF, 0x10F46, 0x10F50,
        0x10F82, 0x10F85, 0x11070, 0x11070, 0x1133B, 0x1133B, 0x11382, 0x11385, 0x1138B, 0x1138B, 0x1138E, 0x1138E,
        0x11390, 0x11391, 0x113B8, 0x113B8, 0x113BB, 0x113BB, 0x113C2, 0x113C2, 0x113C5, 0x113C5, 0x113C7, 0x113C9,
        0x113CE, 0x113D0, 0x1145E, 0x1145E, 0x11839, 0x1183A, 0x11930, 0x11930, 0x11935, 0x11935, 0x11938, 0x11938,
        0x1193D, 0x1193E, 0x11943, 0x11943, 0x119E0, 0x119E0, 0x11A34, 0x11A34, 0x11A47, 0x11A47, 0x11A99, 0x11A99,
        0x11D42, 0x11D42, 0x11D44, 0x11D45, 0x11D97, 0x11D97, 0x11F41, 0x11F42, 0x1611E, 0x16129, 0x1612F, 0x1612F,
        0x16D63, 0x16D63, 0x16D67, 0x16D6A, 0x16FF0, 0x16FF1, 0x1E08F, 0x1E08F, 0x1E130, 0x1E136, 0x1E2AE, 0x1E2AE,
        0x1E2EC, 0x1E2EF, 0x1E4EC, 0x1E4EF, 0x1E5EE, 0x1E5EF,
    };

    private ComposedForm() {}

    static boolean is(String text) {
        for (int index = 0; index < text.length(); index++) {
            if (text.charAt(index) >= FIRST_MARK) {
                // What is normal by the newer tables is so by the older: every part of normal text is normal.
                return Normalizer.isNormalized(text, Normalizer.Form.NFC);
            }
        }
        return true;
    }

    static String of(String text) {
        StringBuilder out = new StringBuilder(text.length());
        int start = 0;
        for (int index = 0; index < text.length(); ) {
            int codePoint = text.codePointAt(index);
            int next = index + Character.charCount(codePoint);
            if (isPlain(codePoint)) {
                out.append(Normalizer.normalize(text.substring(start, index), Normalizer.Form.NFC));
                out.appendCodePoint(codePoint);
                start = next;
            }
            index = next;
        }
        return out.append(Normalizer.normalize(text.substring(start), Normalizer.Form.NFC))
                .toString();
    }

    private static boolean isPlain(int codePoint) {
        if (codePoint < PLAIN[0]) {
            return false;
        }
        int low = 0;
        int high = PLAIN.length / 2 - 1;
        while (low <= high) {
            int middle = (low + high) >>> 1;
            if (codePoint < PLAIN[2 * middle]) {
                high = middle - 1;
            } else if (codePoint > PLAIN[2 * middle + 1]) {
                low = middle + 1;
            } else {
                return true;
            }
        }
        return false;
    }
}
