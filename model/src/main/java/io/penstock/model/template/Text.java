package io.penstock.model.template;

import io.penstock.model.tokenizer.PromptText;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.UnaryOperator;

/// A string that knows which of its characters the template wrote and which came from a request. What is cut from it or
/// joined to it keeps its origin; comparing, finding and hashing look at the characters alone.
final class Text implements Value {
    static final Text EMPTY = new Text("", new int[0]);

    /// Characters that one value may hold.
    private static final int LONGEST = 1 << 24;

    private final String chars;
    /// Starts and ends of what came from a request, in order, apart from each other.
    private final int[] foreign;

    private Text(String chars, int[] foreign) {
        this.chars = chars;
        this.foreign = foreign;
    }

    /// Written by the template.
    static Text own(String chars) {
        return new Text(chars, EMPTY.foreign);
    }

    /// Came with the request.
    static Text foreign(String chars) {
        return chars.isEmpty() ? EMPTY : new Text(chars, new int[] {0, chars.length()});
    }

    String chars() {
        return chars;
    }

    /// In UTF-16 units, as all positions here are.
    int length() {
        return chars.length();
    }

    boolean isEmpty() {
        return chars.isEmpty();
    }

    boolean hasForeign() {
        return foreign.length > 0;
    }

    /// Python's length: code points.
    int count() {
        return chars.codePointCount(0, chars.length());
    }

    Text slice(int from, int to) {
        if (from == 0 && to == chars.length()) {
            return this;
        }
        if (foreign.length == 0) {
            return own(chars.substring(from, to));
        }
        if (foreign.length == 2 && foreign[0] == 0 && foreign[1] == chars.length()) {
            return foreign(chars.substring(from, to));
        }
        return new Builder().append(this, from, to).build();
    }

    Text plus(Text other) {
        return new Builder().append(this).append(other).build();
    }

    /// @param change of the characters, applied to each run of one origin
    Text map(UnaryOperator<String> change) {
        if (foreign.length == 0) {
            return own(checked(change.apply(chars)));
        }
        Builder out = new Builder();
        runs((run, own) -> out.append(change.apply(run), own));
        return out.build();
    }

    /// Characters one by one, as Python iterates a string.
    List<Value> letters() {
        List<Value> letters = new ArrayList<>();
        for (int start = 0; start < chars.length(); ) {
            int end = start + Character.charCount(chars.codePointAt(start));
            letters.add(slice(start, end));
            start = end;
        }
        return letters;
    }

    PromptText prompt() {
        List<PromptText.Piece> pieces = new ArrayList<>();
        runs((run, own) -> pieces.add(new PromptText.Piece(run, own)));
        return new PromptText(pieces);
    }

    private interface Runs {
        void run(String chars, boolean own);
    }

    private void runs(Runs runs) {
        int position = 0;
        for (int index = 0; index < foreign.length; index += 2) {
            if (position < foreign[index]) {
                runs.run(chars.substring(position, foreign[index]), true);
            }
            runs.run(chars.substring(foreign[index], foreign[index + 1]), false);
            position = foreign[index + 1];
        }
        if (position < chars.length()) {
            runs.run(chars.substring(position), true);
        }
    }

    static Text join(List<Text> parts, Text between) {
        Builder out = new Builder();
        for (int index = 0; index < parts.size(); index++) {
            if (index > 0) {
                out.append(between);
            }
            out.append(parts.get(index));
        }
        return out.build();
    }

    /// @throws TemplateException if `length` is more than a value may hold
    static void checkLength(long length) {
        if (length > LONGEST) {
            throw new TemplateException("template makes text of over %d characters", LONGEST);
        }
    }

    private static String checked(String chars) {
        checkLength(chars.length());
        return chars;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Text text && text.chars.equals(chars);
    }

    @Override
    public int hashCode() {
        return chars.hashCode();
    }

    @Override
    public String toString() {
        return chars;
    }

    /// Puts text together, piece by piece.
    static final class Builder {
        private final StringBuilder chars = new StringBuilder();
        private int[] foreign = new int[4];
        private int marks;

        int length() {
            return chars.length();
        }

        Builder append(String more, boolean own) {
            checkLength((long) chars.length() + more.length());
            if (!own) {
                mark(chars.length(), chars.length() + more.length());
            }
            chars.append(more);
            return this;
        }

        Builder append(Text more) {
            return append(more, 0, more.length());
        }

        Builder append(Text more, int from, int to) {
            checkLength((long) chars.length() + to - from);
            for (int index = 0; index < more.foreign.length; index += 2) {
                int start = Math.max(more.foreign[index], from);
                int end = Math.min(more.foreign[index + 1], to);
                if (start < end) {
                    mark(chars.length() + start - from, chars.length() + end - from);
                }
            }
            chars.append(more.chars, from, to);
            return this;
        }

        /// One character in the place of another, of the same origin.
        Builder append(String replacement, Text replaced, int at) {
            return append(replacement, !replaced.isForeign(at));
        }

        Text build() {
            return new Text(chars.toString(), Arrays.copyOf(foreign, marks));
        }

        private void mark(int start, int end) {
            if (start == end) {
                return;
            }
            if (marks > 0 && foreign[marks - 1] == start) {
                foreign[marks - 1] = end;
                return;
            }
            if (marks == foreign.length) {
                foreign = Arrays.copyOf(foreign, marks * 2);
            }
            foreign[marks++] = start;
            foreign[marks++] = end;
        }
    }

    /// @return whether the character there came with the request
    boolean isForeign(int at) {
        int found = Arrays.binarySearch(foreign, at);
        // Found: a start lies at an even index, an end at an odd one. Not found: an odd number of marks lies before.
        return found >= 0 ? found % 2 == 0 : (-found - 1) % 2 == 1;
    }
}
