package io.penstock.model.tokenizer;

import java.util.Arrays;

/// Text in runs of alternating trust.
final class MarkedText {
    private final String text;
    private final int[] ends;
    private final boolean firstTrusted;

    private MarkedText(String text, int[] ends, boolean firstTrusted) {
        this.text = text;
        this.ends = ends;
        this.firstTrusted = firstTrusted;
    }

    static MarkedText of(PromptText prompt) {
        StringBuilder text = new StringBuilder();
        int[] ends = new int[prompt.pieces().size()];
        int runs = 0;
        boolean firstTrusted = false;
        boolean last = false;
        for (PromptText.Piece piece : prompt.pieces()) {
            if (piece.text().isEmpty()) {
                continue;
            }
            text.append(piece.text());
            if (runs == 0) {
                firstTrusted = piece.trusted();
            }
            if (runs == 0 || piece.trusted() != last) {
                runs++;
            }
            last = piece.trusted();
            ends[runs - 1] = text.length();
        }
        return new MarkedText(withoutLoneSurrogates(text), Arrays.copyOf(ends, runs), firstTrusted);
    }

    String text() {
        return text;
    }

    int runs() {
        return ends.length;
    }

    /// @return where the run ends in the text
    int end(int run) {
        return ends[run];
    }

    boolean trusted(int run) {
        return firstTrusted == (run % 2 == 0);
    }

    MarkedText slice(int from, int to) {
        if (from == 0 && to == text.length()) {
            return this;
        }
        int first = 0;
        while (first < ends.length && ends[first] <= from) {
            first++;
        }
        int last = first;
        while (last < ends.length && ends[last] < to) {
            last++;
        }
        int[] sliced = new int[from == to ? 0 : last - first + 1];
        for (int run = 0; run < sliced.length; run++) {
            sliced[run] = Math.min(ends[first + run], to) - from;
        }
        return new MarkedText(text.substring(from, to), sliced, trusted(first));
    }

    /// @return the text in normal form C. Where characters of different trust compose, all of it becomes untrusted
    MarkedText composed() {
        if (ComposedForm.is(text)) {
            return this;
        }
        StringBuilder parts = new StringBuilder();
        int[] partEnds = new int[ends.length];
        int start = 0;
        for (int run = 0; run < ends.length; run++) {
            parts.append(ComposedForm.of(text.substring(start, ends[run])));
            partEnds[run] = parts.length();
            start = ends[run];
        }
        if (ends.length == 1) {
            return new MarkedText(parts.toString(), partEnds, firstTrusted);
        }
        String whole = ComposedForm.of(text);
        return whole.contentEquals(parts)
                ? new MarkedText(whole, partEnds, firstTrusted)
                : new MarkedText(whole, new int[] {whole.length()}, false);
    }

    /// @return the text with one character in another's place
    MarkedText replaced(char from, char to) {
        String changed = text.replace(from, to);
        return changed.equals(text) ? this : new MarkedText(changed, ends, firstTrusted);
    }

    /// @return the text after one more character, trusted as its first one is; none after none
    MarkedText after(char prefix) {
        if (text.isEmpty()) {
            return this;
        }
        int[] moved = new int[ends.length];
        Arrays.setAll(moved, run -> ends[run] + 1);
        return new MarkedText(prefix + text, moved, firstTrusted);
    }

    private static String withoutLoneSurrogates(StringBuilder text) {
        for (int index = 0; index < text.length(); index++) {
            if (Character.isSurrogate(text.charAt(index))) {
                if (Character.isSupplementaryCodePoint(text.codePointAt(index))) {
                    index++;
                } else {
                    text.setCharAt(index, '\uFFFD');
                }
            }
        }
        return text.toString();
    }
}
