package io.penstock.model.tokenizer;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// A set of code points as a character class of a regular expression writes it: general categories and ranges.
///
/// Categories are those of the Java run time, Unicode 16 in Java 25, the version of Oniguruma's tables in the
/// reference (tokenizers 0.23).
final class CodePointSet {
    private static final int ALL = (1 << 31) - 1;

    private static final Map<String, Integer> CATEGORIES = Map.ofEntries(
            Map.entry("Lu", 1 << Character.UPPERCASE_LETTER),
            Map.entry("Ll", 1 << Character.LOWERCASE_LETTER),
            Map.entry("Lt", 1 << Character.TITLECASE_LETTER),
            Map.entry("Lm", 1 << Character.MODIFIER_LETTER),
            Map.entry("Lo", 1 << Character.OTHER_LETTER),
            Map.entry("Mn", 1 << Character.NON_SPACING_MARK),
            Map.entry("Mc", 1 << Character.COMBINING_SPACING_MARK),
            Map.entry("Me", 1 << Character.ENCLOSING_MARK),
            Map.entry("Nd", 1 << Character.DECIMAL_DIGIT_NUMBER),
            Map.entry("Nl", 1 << Character.LETTER_NUMBER),
            Map.entry("No", 1 << Character.OTHER_NUMBER),
            Map.entry("Pc", 1 << Character.CONNECTOR_PUNCTUATION),
            Map.entry("Pd", 1 << Character.DASH_PUNCTUATION),
            Map.entry("Ps", 1 << Character.START_PUNCTUATION),
            Map.entry("Pe", 1 << Character.END_PUNCTUATION),
            Map.entry("Pi", 1 << Character.INITIAL_QUOTE_PUNCTUATION),
            Map.entry("Pf", 1 << Character.FINAL_QUOTE_PUNCTUATION),
            Map.entry("Po", 1 << Character.OTHER_PUNCTUATION),
            Map.entry("Sm", 1 << Character.MATH_SYMBOL),
            Map.entry("Sc", 1 << Character.CURRENCY_SYMBOL),
            Map.entry("Sk", 1 << Character.MODIFIER_SYMBOL),
            Map.entry("So", 1 << Character.OTHER_SYMBOL),
            Map.entry("Zs", 1 << Character.SPACE_SEPARATOR),
            Map.entry("Zl", 1 << Character.LINE_SEPARATOR),
            Map.entry("Zp", 1 << Character.PARAGRAPH_SEPARATOR),
            Map.entry("Cc", 1 << Character.CONTROL),
            Map.entry("Cf", 1 << Character.FORMAT),
            Map.entry("Co", 1 << Character.PRIVATE_USE),
            Map.entry("Cs", 1 << Character.SURROGATE),
            Map.entry("Cn", 1 << Character.UNASSIGNED));

    private final int categories;
    private final int[] ranges;
    private final boolean negated;
    private final long low;
    private final long high;

    private CodePointSet(int categories, int[] ranges, boolean negated) {
        this.categories = categories;
        this.ranges = ranges;
        this.negated = negated;
        this.low = ascii(0);
        this.high = ascii(64);
    }

    boolean contains(int codePoint) {
        if (codePoint < 128) {
            return ((codePoint < 64 ? low : high) >>> codePoint & 1) != 0;
        }
        return looksUp(codePoint);
    }

    private boolean looksUp(int codePoint) {
        return ((categories >>> Character.getType(codePoint) & 1) != 0 || inRanges(codePoint)) != negated;
    }

    private boolean inRanges(int codePoint) {
        for (int index = 0; index < ranges.length; index += 2) {
            if (codePoint >= ranges[index] && codePoint <= ranges[index + 1]) {
                return true;
            }
        }
        return false;
    }

    private long ascii(int from) {
        long bits = 0;
        for (int bit = 0; bit < 64; bit++) {
            bits |= looksUp(from + bit) ? 1L << bit : 0;
        }
        return bits;
    }

    /// Gathers the members of a character class.
    static final class Builder {
        private int categories;
        private final List<Integer> ranges = new ArrayList<>();

        /// @param name a general category (`Lu`) or a group of them (`L`)
        /// @return false if there is none of that name
        boolean category(String name, boolean complement) {
            Optional<Integer> mask = mask(name);
            mask.ifPresent(bits -> categories |= complement ? ALL & ~bits : bits);
            return mask.isPresent();
        }

        /// Unicode White_Space: the separators and six controls.
        void space(boolean complement) {
            int separators = mask("Z").orElseThrow();
            if (complement) {
                categories |= ALL & ~separators & ~CATEGORIES.get("Cc");
                range(0, 0x08);
                range(0x0E, 0x1F);
                range(0x7F, 0x84);
                range(0x86, 0x9F);
            } else {
                categories |= separators;
                range('\t', '\r');
                range(0x85, 0x85);
            }
        }

        void range(int first, int last) {
            ranges.add(first);
            ranges.add(last);
        }

        /// The code points that differ from this one in case alone, itself too.
        void anyCase(int codePoint) {
            int folded = fold(codePoint);
            for (int other = 0; other <= Character.MAX_VALUE; other++) {
                if (fold(other) == folded) {
                    range(other, other);
                }
            }
            range(codePoint, codePoint);
        }

        CodePointSet build(boolean negated) {
            return new CodePointSet(
                    categories, ranges.stream().mapToInt(Integer::intValue).toArray(), negated);
        }

        private static int fold(int codePoint) {
            return Character.toLowerCase(Character.toUpperCase(codePoint));
        }

        private static Optional<Integer> mask(String name) {
            return CATEGORIES.entrySet().stream()
                    .filter(entry -> entry.getKey().startsWith(name) && !name.isEmpty())
                    .map(Map.Entry::getValue)
                    .reduce((one, other) -> one | other);
        }
    }
}
