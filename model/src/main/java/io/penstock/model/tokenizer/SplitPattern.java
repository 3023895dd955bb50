package io.penstock.model.tokenizer;

import java.util.List;

/// A regular expression of the kind that pre-tokenizers split text with: alternatives of runs of character classes,
/// with an occasional look at the next character. Leftmost alternative first, greedy, as Oniguruma matches.
///
/// No construct nests a repetition in another, so a match costs at most the length of a run for each run after it in
/// the pattern: in the patterns in use, a scan and one way back.
final class SplitPattern {
    /// A place in the pattern, and what must follow.
    sealed interface Node {
        /// @param max greatest count, at least `min`
        /// @param possessive never gives back what it took
        record Run(CodePointSet set, int min, int max, boolean possessive, Node next) implements Node {}

        record Ahead(CodePointSet set, boolean negative, Node next) implements Node {}

        record Branch(List<Node> choices) implements Node {
            public Branch {
                choices = List.copyOf(choices);
            }
        }

        record End() implements Node {}
    }

    private final Node[] choices;
    /// For each ASCII character, the choices that may begin with it.
    private final int[] starts = new int[128];

    SplitPattern(List<Node> choices) {
        if (choices.size() > Integer.SIZE) {
            throw new IllegalArgumentException("more than 32 alternatives");
        }
        this.choices = choices.toArray(Node[]::new);
        for (int letter = 0; letter < starts.length; letter++) {
            for (int choice = 0; choice < this.choices.length; choice++) {
                starts[letter] |= mayStart(this.choices[choice], letter) ? 1 << choice : 0;
            }
        }
    }

    /// One set of code points, alone or in runs.
    static SplitPattern of(CodePointSet set, int max) {
        return new SplitPattern(List.of(new Node.Run(set, 1, max, true, new Node.End())));
    }

    /// @param limit end of the text as the pattern sees it
    /// @return where the match that begins at `start` ends, `start` or less if there is none or it is empty
    int match(char[] text, int start, int limit) {
        char first = text[start];
        int candidates = first < 128 ? starts[first] : -1;
        for (int choice = 0; choice < choices.length; choice++) {
            if ((candidates >>> choice & 1) != 0) {
                int end = match(choices[choice], text, start, limit);
                if (end >= 0) {
                    return end;
                }
            }
        }
        return -1;
    }

    private static int match(Node from, char[] text, int start, int limit) {
        Node node = from;
        int position = start;
        while (true) {
            switch (node) {
                case Node.End() -> {
                    return position;
                }
                case Node.Ahead(CodePointSet set, boolean negative, Node next) -> {
                    boolean found = position < limit && set.contains(codePoint(text, position, limit));
                    if (found == negative) {
                        return -1;
                    }
                    node = next;
                }
                case Node.Branch(List<Node> choices) -> {
                    for (Node choice : choices) {
                        int end = match(choice, text, position, limit);
                        if (end >= 0) {
                            return end;
                        }
                    }
                    return -1;
                }
                case Node.Run(CodePointSet set, int min, int max, boolean possessive, Node next) -> {
                    int count = 0;
                    while (count < max && position < limit) {
                        int codePoint = codePoint(text, position, limit);
                        if (!set.contains(codePoint)) {
                            break;
                        }
                        position += Character.charCount(codePoint);
                        count++;
                    }
                    if (count < min) {
                        return -1;
                    }
                    if (!possessive && count > min && !(next instanceof Node.End)) {
                        return giveBack(next, text, position, limit, count - min);
                    }
                    node = next;
                }
            }
        }
    }

    /// Tries what follows a run after its end, then after each shorter run.
    private static int giveBack(Node next, char[] text, int end, int limit, int spare) {
        int position = end;
        for (int left = spare; ; left--) {
            int matched = match(next, text, position, limit);
            if (matched >= 0 || left == 0) {
                return matched;
            }
            position -= Character.charCount(Character.codePointBefore(text, position, 0));
        }
    }

    private static int codePoint(char[] text, int position, int limit) {
        char unit = text[position];
        return Character.isHighSurrogate(unit) ? Character.codePointAt(text, position, limit) : unit;
    }

    private static boolean mayStart(Node node, int letter) {
        return switch (node) {
            case Node.End() -> true;
            case Node.Ahead ignored -> true;
            case Node.Branch(List<Node> choices) -> choices.stream().anyMatch(choice -> mayStart(choice, letter));
            case Node.Run run -> run.set().contains(letter) || (run.min() == 0 && mayStart(run.next(), letter));
        };
    }
}
