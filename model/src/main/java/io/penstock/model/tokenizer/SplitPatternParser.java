package io.penstock.model.tokenizer;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.tokenizer.SplitPattern.Node;
import java.util.ArrayList;
import java.util.List;

/// Reads the regular expressions that `tokenizer.json` files split text with: `|`, `(?:…)`, `(?i:…)`, either with
/// `?`, character classes with `\p{…}`, `\s`, `\d` and their complements, `? * + {n,m}`, greedy or possessive, and
/// `(?!x)`, `(?=x)` of a single character. Anything else is refused: what can match slowly has no spelling here.
final class SplitPatternParser {
    private static final int UNBOUNDED = Integer.MAX_VALUE;
    private static final int LONGEST = 4096;
    private static final int DEEPEST = 16;
    /// Ways of matching one place that a pattern may make us try, runs without an end left aside; real ones have some
    /// twenty.
    private static final int MOST_WAYS = 4096;
    /// Runs without an end, one after the other, that may give back what they took: each multiplies the time that a
    /// hostile text takes by its length.
    private static final int MOST_RUNS = 3;

    /// What was read, before it is known what follows it.
    private sealed interface Term {
        record Run(CodePointSet set, int min, int max, boolean possessive) implements Term {}

        record Ahead(CodePointSet set, boolean negative) implements Term {}

        record Group(List<List<Term>> choices, boolean optional) implements Term {}
    }

    private final String pattern;
    private int position;
    private int depth;

    private SplitPatternParser(String pattern) {
        this.pattern = pattern;
    }

    /// @throws PenstockException (corrupt) naming the place of what it does not read
    static SplitPattern parse(String pattern) {
        if (pattern.length() > LONGEST) {
            throw new PenstockException(
                    ErrorCategory.CORRUPT,
                    "split pattern of %d characters is over the limit of %d",
                    pattern.length(),
                    LONGEST);
        }
        SplitPatternParser parser = new SplitPatternParser(pattern);
        List<List<Term>> choices = parser.choices(false);
        if (parser.position < pattern.length()) {
            throw parser.refusal("unmatched ')'");
        }
        if (choices.size() > Integer.SIZE) {
            throw parser.refusal("more than 32 alternatives");
        }
        for (List<Term> terms : choices) {
            if (ways(terms) > MOST_WAYS || runs(terms) > MOST_RUNS) {
                throw parser.refusal("an alternative that may match in too many ways");
            }
        }
        return new SplitPattern(
                choices.stream().map(terms -> link(terms, new Node.End())).toList());
    }

    private static double ways(List<Term> terms) {
        double ways = 1;
        for (Term term : terms) {
            ways *= switch (term) {
                case Term.Run run -> run.possessive() || run.max() == UNBOUNDED ? 1 : run.max() - run.min() + 1.0;
                case Term.Ahead ahead -> 1;
                case Term.Group(List<List<Term>> choices, boolean optional) ->
                    choices.stream().mapToDouble(SplitPatternParser::ways).sum() + (optional ? 1 : 0);
            };
        }
        return ways;
    }

    private static int runs(List<Term> terms) {
        int runs = 0;
        for (Term term : terms) {
            runs += switch (term) {
                case Term.Run run -> run.possessive() || run.max() < UNBOUNDED ? 0 : 1;
                case Term.Ahead ahead -> 0;
                case Term.Group(List<List<Term>> choices, boolean optional) ->
                    choices.stream().mapToInt(SplitPatternParser::runs).max().orElse(0);
            };
        }
        return runs;
    }

    private static Node link(List<Term> terms, Node end) {
        Node next = end;
        for (Term term : terms.reversed()) {
            Node after = next;
            next = switch (term) {
                case Term.Run(CodePointSet set, int min, int max, boolean possessive) ->
                    new Node.Run(set, min, max, possessive, after);
                case Term.Ahead(CodePointSet set, boolean negative) -> new Node.Ahead(set, negative, after);
                case Term.Group(List<List<Term>> choices, boolean optional) -> {
                    List<Node> linked = new ArrayList<>();
                    choices.forEach(choice -> linked.add(link(choice, after)));
                    if (optional) {
                        linked.add(after);
                    }
                    yield new Node.Branch(linked);
                }
            };
        }
        return next;
    }

    private List<List<Term>> choices(boolean anyCase) {
        if (++depth > DEEPEST) {
            throw refusal("groups nested more than 16 deep");
        }
        List<List<Term>> choices = new ArrayList<>();
        List<Term> terms = new ArrayList<>();
        while (position < pattern.length() && pattern.charAt(position) != ')') {
            if (accept("|")) {
                choices.add(terms);
                terms = new ArrayList<>();
            } else {
                terms.add(term(anyCase));
            }
        }
        choices.add(terms);
        depth--;
        return choices;
    }

    private Term term(boolean anyCase) {
        if (accept("(?!") || accept("(?=")) {
            boolean negative = pattern.charAt(position - 1) == '!';
            CodePointSet set = set(anyCase);
            expect(")");
            return new Term.Ahead(set, negative);
        }
        if (accept("(?:")) {
            return group(anyCase);
        }
        if (accept("(?i:")) {
            return group(true);
        }
        CodePointSet set = set(anyCase);
        int min = 1;
        int max = 1;
        if (accept("?")) {
            min = 0;
        } else if (accept("*")) {
            min = 0;
            max = UNBOUNDED;
        } else if (accept("+")) {
            max = UNBOUNDED;
        } else if (accept("{")) {
            min = number();
            max = accept(",") ? (pattern.startsWith("}", position) ? UNBOUNDED : number()) : min;
            expect("}");
            if (max < min) {
                throw refusal("a repetition whose greatest count is below its least");
            }
            return new Term.Run(set, min, max, false);
        } else {
            return new Term.Run(set, 1, 1, true);
        }
        if (pattern.startsWith("?", position)) {
            throw refusal("a reluctant quantifier");
        }
        return new Term.Run(set, min, max, accept("+"));
    }

    private Term group(boolean anyCase) {
        List<List<Term>> choices = choices(anyCase);
        expect(")");
        boolean optional = accept("?");
        if (position < pattern.length() && "*+{?".indexOf(pattern.charAt(position)) >= 0) {
            throw refusal("a repeated group");
        }
        return new Term.Group(choices, optional);
    }

    private CodePointSet set(boolean anyCase) {
        CodePointSet.Builder set = new CodePointSet.Builder();
        boolean negated = false;
        if (accept("[")) {
            negated = accept("^");
            if (accept("]")) {
                throw refusal("an empty character class");
            }
            while (!accept("]")) {
                if (pattern.startsWith("[", position) || pattern.startsWith("&&", position)) {
                    throw refusal("a class within a class");
                }
                member(set, anyCase, true);
            }
        } else if (position < pattern.length() && "(*+?{^$.".indexOf(pattern.charAt(position)) >= 0) {
            throw refusal("this construct");
        } else {
            member(set, anyCase, false);
        }
        return set.build(negated);
    }

    private void member(CodePointSet.Builder set, boolean anyCase, boolean inClass) {
        if (accept("\\s") || accept("\\S")) {
            set.space(pattern.charAt(position - 1) == 'S');
            return;
        }
        if (accept("\\d") || accept("\\D")) {
            set.category("Nd", pattern.charAt(position - 1) == 'D');
            return;
        }
        if (accept("\\p{") || accept("\\P{")) {
            boolean complement = pattern.charAt(position - 2) == 'P';
            int close = pattern.indexOf('}', position);
            if (close < 0 || !set.category(pattern.substring(position, close), complement)) {
                throw refusal("a property that is no general category");
            }
            position = close + 1;
            return;
        }
        int first = codePoint();
        if (inClass && pattern.startsWith("-", position) && !pattern.startsWith("-]", position)) {
            position++;
            int last = codePoint();
            if (last < first || anyCase) {
                throw refusal("this range");
            }
            set.range(first, last);
        } else if (anyCase) {
            set.anyCase(first);
        } else {
            set.range(first, first);
        }
    }

    private int codePoint() {
        if (position >= pattern.length()) {
            throw refusal("its end here");
        }
        int codePoint = pattern.codePointAt(position);
        position += Character.charCount(codePoint);
        if (codePoint != '\\') {
            return codePoint;
        }
        if (position >= pattern.length()) {
            throw refusal("its end here");
        }
        char escaped = pattern.charAt(position++);
        return switch (escaped) {
            case 'r' -> '\r';
            case 'n' -> '\n';
            case 't' -> '\t';
            case 'f' -> '\f';
            default -> {
                if (Character.isLetterOrDigit(escaped) || escaped >= 128) {
                    throw refusal("this escape");
                }
                yield escaped;
            }
        };
    }

    private int number() {
        int start = position;
        while (position < pattern.length() && position - start < 6 && Character.isDigit(pattern.charAt(position))) {
            position++;
        }
        if (start == position) {
            throw refusal("this repetition");
        }
        return Integer.parseInt(pattern.substring(start, position));
    }

    private boolean accept(String text) {
        boolean here = pattern.startsWith(text, position);
        if (here) {
            position += text.length();
        }
        return here;
    }

    private void expect(String text) {
        if (!accept(text)) {
            throw refusal("anything but '" + text + "' here");
        }
    }

    private PenstockException refusal(String what) {
        return new PenstockException(
                ErrorCategory.CORRUPT,
                "split pattern \"%s\" has at character %d what is not supported: %s",
                pattern,
                position,
                what);
    }
}
