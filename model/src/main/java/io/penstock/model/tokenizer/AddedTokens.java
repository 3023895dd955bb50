package io.penstock.model.tokenizer;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// Finds added tokens in text: at each place the longest, from left to right, as the reference does.
final class AddedTokens {
    private static final int ROOT = 0;

    /// A trie: (node, character) to node.
    private final Map<Long, Integer> edges = new HashMap<>();
    /// The token that ends at each node, or null.
    private final List<AddedToken> ends = new ArrayList<>();

    /// @param start of the text that the token takes, stripped white space included
    record Match(AddedToken token, int start, int end) {}

    AddedTokens(List<AddedToken> tokens) {
        ends.add(null);
        for (AddedToken token : tokens) {
            int node = ROOT;
            for (char letter : token.content().toCharArray()) {
                node = edges.computeIfAbsent(edge(node, letter), edge -> {
                    ends.add(null);
                    return ends.size() - 1;
                });
            }
            if (node != ROOT) {
                ends.set(node, token);
            }
        }
    }

    boolean isEmpty() {
        return edges.isEmpty();
    }

    /// @return the tokens spelt in trusted text alone, in order, not overlapping
    List<Match> find(MarkedText text) {
        List<Match> matches = new ArrayList<>();
        if (isEmpty()) {
            return matches;
        }
        String whole = text.text();
        int taken = 0;
        int start = 0;
        for (int run = 0; run < text.runs(); run++) {
            int limit = text.end(run);
            if (text.trusted(run)) {
                for (int position = start; position < limit; ) {
                    AddedToken token = longest(whole, position, limit);
                    if (token == null) {
                        position++;
                        continue;
                    }
                    int end = position + token.content().length();
                    if (!token.singleWord() || standsAlone(whole, position, end)) {
                        int from = token.lstrip() ? beforeSpace(whole, position, taken) : position;
                        int to = token.rstrip() ? afterSpace(whole, end) : end;
                        matches.add(new Match(token, Math.max(from, taken), to));
                        taken = to;
                    }
                    position = end;
                }
            }
            start = limit;
        }
        return matches;
    }

    private AddedToken longest(String text, int start, int limit) {
        AddedToken found = null;
        int node = ROOT;
        for (int position = start; position < limit; position++) {
            Integer next = edges.get(edge(node, text.charAt(position)));
            if (next == null) {
                break;
            }
            node = next;
            if (ends.get(node) != null) {
                found = ends.get(node);
            }
        }
        return found;
    }

    private static boolean standsAlone(String text, int start, int end) {
        return (start == 0 || !isWord(text.codePointBefore(start)))
                && (end == text.length() || !isWord(text.codePointAt(end)));
    }

    private static boolean isWord(int codePoint) {
        int type = Character.getType(codePoint);
        return Character.isLetterOrDigit(codePoint)
                || type == Character.CONNECTOR_PUNCTUATION
                || type == Character.NON_SPACING_MARK
                || type == Character.COMBINING_SPACING_MARK
                || type == Character.ENCLOSING_MARK;
    }

    private static int beforeSpace(String text, int start, int limit) {
        int position = start;
        while (position > limit && isSpace(text.charAt(position - 1))) {
            position--;
        }
        return position;
    }

    private static int afterSpace(String text, int end) {
        int position = end;
        while (position < text.length() && isSpace(text.charAt(position))) {
            position++;
        }
        return position;
    }

    /// Unicode White_Space, all of it in the basic plane.
    private static boolean isSpace(char letter) {
        return Character.isSpaceChar(letter) || (letter >= '\t' && letter <= '\r') || letter == 0x85;
    }

    private static long edge(int node, char letter) {
        return (long) node << Character.SIZE | letter;
    }
}
