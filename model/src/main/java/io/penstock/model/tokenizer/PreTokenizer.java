package io.penstock.model.tokenizer;

import java.util.List;

/// Cuts text into the words that are encoded each on its own. Each pattern cuts the pieces that the one before it left:
/// its matches are pieces, and so is what lies between them.
final class PreTokenizer {
    /// GPT-2's own, which "ByteLevel" with `use_regex` stands for.
    static final String GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

    private final SplitPattern[] patterns;

    /// Takes the words as they are found.
    interface Words {
        void word(char[] text, int start, int end);
    }

    PreTokenizer(List<SplitPattern> patterns) {
        this.patterns = patterns.toArray(SplitPattern[]::new);
    }

    /// The "Digits" pre-tokenizer: numbers of any script apart from other text, one by one or in runs.
    /// It asks Rust, which already knows the numbers of Unicode 17.
    static SplitPattern digits(boolean individual) {
        CodePointSet.Builder set = new CodePointSet.Builder();
        set.category("N", false);
        set.range(0x11DE0, 0x11DE9);
        set.range(0x16FF4, 0x16FF6);
        return SplitPattern.of(set.build(false), individual ? 1 : Integer.MAX_VALUE);
    }

    void split(char[] text, int start, int end, Words words) {
        split(0, text, start, end, words);
    }

    private void split(int level, char[] text, int start, int end, Words words) {
        if (level == patterns.length) {
            words.word(text, start, end);
            return;
        }
        SplitPattern pattern = patterns[level];
        int position = start;
        int unmatched = start;
        while (position < end) {
            int matched = pattern.match(text, position, end);
            if (matched <= position) {
                position += Character.charCount(Character.codePointAt(text, position, end));
                continue;
            }
            if (unmatched < position) {
                split(level + 1, text, unmatched, position, words);
            }
            split(level + 1, text, position, matched, words);
            position = matched;
            unmatched = matched;
        }
        if (unmatched < end) {
            split(level + 1, text, unmatched, end, words);
        }
    }
}
