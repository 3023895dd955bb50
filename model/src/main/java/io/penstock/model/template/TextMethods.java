package io.penstock.model.template;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.IntPredicate;

/// Methods of Python's `str`. What they return keeps the origin of what it is made from.
final class TextMethods {
    private TextMethods() {}

    static Optional<Value> find(Text self, String name) {
        Value.Body body = switch (name) {
            case "upper" -> _ -> upper(self);
            case "lower", "casefold" -> _ -> lower(self);
            case "capitalize" -> _ -> capitalize(self);
            case "title" -> _ -> title(self);
            case "swapcase" -> _ -> self.map(TextMethods::swapCase);
            case "strip" -> given -> strip(self, given.get(0, "chars", Value.NONE), true, true);
            case "lstrip" -> given -> strip(self, given.get(0, "chars", Value.NONE), true, false);
            case "rstrip" -> given -> strip(self, given.get(0, "chars", Value.NONE), false, true);
            case "split" -> given -> Value.list(split(self, given, false));
            case "rsplit" -> given -> Value.list(split(self, given, true));
            case "splitlines" -> given -> Value.list(lines(self, given.flag(0, "keepends", false)));
            case "partition" -> given -> partition(self, text("partition", given, 0, "sep"), false);
            case "rpartition" -> given -> partition(self, text("rpartition", given, 0, "sep"), true);
            case "startswith" -> given -> Value.of(meets(self, given, true));
            case "endswith" -> given -> Value.of(meets(self, given, false));
            case "removeprefix" ->
                given -> {
                    String prefix = text("removeprefix", given, 0, "prefix").chars();
                    return self.chars().startsWith(prefix) ? self.slice(prefix.length(), self.length()) : self;
                };
            case "removesuffix" ->
                given -> {
                    String suffix = text("removesuffix", given, 0, "suffix").chars();
                    return self.chars().endsWith(suffix) ? self.slice(0, self.length() - suffix.length()) : self;
                };
            case "replace" ->
                given -> replace(
                        self,
                        text("replace", given, 0, "old"),
                        text("replace", given, 1, "new"),
                        given.integer("replace", 2, "count", -1));
            case "find" -> given -> Value.of(indexOf(self, text("find", given, 0, "sub")));
            case "rfind" ->
                given -> {
                    int at = self.chars()
                            .lastIndexOf(text("rfind", given, 0, "sub").chars());
                    return Value.of(at < 0 ? -1 : self.chars().codePointCount(0, at));
                };
            case "index" ->
                given -> {
                    long at = indexOf(self, text("index", given, 0, "sub"));
                    if (at < 0) {
                        throw new TemplateException("substring not found");
                    }
                    return Value.of(at);
                };
            case "count" ->
                given -> Value.of(count(self, text("count", given, 0, "sub").chars()));
            case "join" -> given -> join(self, given.required("join", 0, "iterable"));
            case "format" -> given -> TextFormat.braces(self, given);
            case "zfill" -> given -> zeroFill(self, given.integer("zfill", 0, "width", 0));
            case "center" -> given -> pad(self, given, "center", 0.5);
            case "ljust" -> given -> pad(self, given, "ljust", 0);
            case "rjust" -> given -> pad(self, given, "rjust", 1);
            case "isdigit", "isdecimal", "isnumeric" -> _ -> all(self, Character::isDigit);
            case "isalpha" -> _ -> all(self, Character::isLetter);
            case "isalnum" -> _ -> all(self, Character::isLetterOrDigit);
            case "isspace" -> _ -> all(self, letter -> Characters.isSpace((char) letter));
            case "isupper" -> _ -> Value.of(isUpper(self.chars()));
            case "islower" -> _ -> Value.of(isLower(self.chars()));
            default -> null;
        };
        return Optional.ofNullable(body).map(found -> new Value.Callable(name, found));
    }

    private static Text text(String callee, Arguments given, int position, String name) {
        Value value = given.required(callee, position, name);
        if (value instanceof Text text) {
            return text;
        }
        Operators.refuseUndefined(value);
        throw new TemplateException("%s() argument must be str, not %s", callee, Operators.type(value));
    }

    static Text upper(Text text) {
        return text.map(chars -> chars.toUpperCase(Locale.ROOT));
    }

    static Text lower(Text text) {
        return text.map(chars -> chars.toLowerCase(Locale.ROOT));
    }

    static Text capitalize(Text text) {
        if (text.isEmpty()) {
            return text;
        }
        int first = Character.charCount(text.chars().codePointAt(0));
        return text.slice(0, first).map(TextMethods::titleCase).plus(lower(text.slice(first, text.length())));
    }

    /// A letter after one that has no case is a capital, and the others are small.
    private static Text title(Text text) {
        Text.Builder out = new Text.Builder();
        boolean inWord = false;
        for (Value letter : text.letters()) {
            Text one = (Text) letter;
            int codePoint = one.chars().codePointAt(0);
            boolean cased = Character.isUpperCase(codePoint)
                    || Character.isLowerCase(codePoint)
                    || Character.isTitleCase(codePoint);
            out.append(inWord ? lower(one) : one.map(TextMethods::titleCase));
            inWord = cased;
        }
        return out.build();
    }

    private static String titleCase(String letter) {
        int codePoint = letter.codePointAt(0);
        int titled = Character.toTitleCase(codePoint);
        return titled != codePoint ? Character.toString(titled) : capitalized(letter);
    }

    /// Letters whose capital is several: "ß" becomes "Ss".
    private static String capitalized(String letter) {
        String upper = letter.toUpperCase(Locale.ROOT);
        int first = Character.charCount(upper.codePointAt(0));
        return upper.substring(0, first) + upper.substring(first).toLowerCase(Locale.ROOT);
    }

    private static String swapCase(String chars) {
        StringBuilder out = new StringBuilder();
        chars.codePoints().forEach(codePoint -> {
            String letter = Character.toString(codePoint);
            out.append(
                    Character.isUpperCase(codePoint)
                            ? letter.toLowerCase(Locale.ROOT)
                            : letter.toUpperCase(Locale.ROOT));
        });
        return out.toString();
    }

    static Text strip(Text self, Value set, boolean left, boolean right) {
        IntPredicate strips;
        if (set instanceof Text letters) {
            strips = codePoint -> letters.chars().indexOf(codePoint) >= 0;
        } else if (set instanceof Value.None) {
            strips = codePoint -> codePoint <= Character.MAX_VALUE && Characters.isSpace((char) codePoint);
        } else {
            throw new TemplateException("strip arg must be None or str");
        }
        String chars = self.chars();
        int start = 0;
        int end = chars.length();
        while (left && start < end && strips.test(chars.codePointAt(start))) {
            start += Character.charCount(chars.codePointAt(start));
        }
        while (right && end > start && strips.test(chars.codePointBefore(end))) {
            end -= Character.charCount(chars.codePointBefore(end));
        }
        return self.slice(start, end);
    }

    private static List<Text> split(Text self, Arguments given, boolean fromRight) {
        Value separator = given.get(0, "sep", Value.NONE);
        long limit = given.integer("split", 1, "maxsplit", -1);
        limit = limit < 0 ? Long.MAX_VALUE : limit;
        if (separator instanceof Value.None) {
            return fromRight ? splitSpaceFromRight(self, limit) : splitSpace(self, limit);
        }
        String between = text("split", given, 0, "sep").chars();
        if (between.isEmpty()) {
            throw new TemplateException("empty separator");
        }
        List<Text> parts = new ArrayList<>();
        String chars = self.chars();
        if (fromRight) {
            int end = chars.length();
            for (int at = chars.lastIndexOf(between, end - between.length());
                    at >= 0 && parts.size() < limit;
                    at = end < between.length() ? -1 : chars.lastIndexOf(between, end - between.length())) {
                parts.addFirst(self.slice(at + between.length(), end));
                end = at;
            }
            parts.addFirst(self.slice(0, end));
            return parts;
        }
        int start = 0;
        for (int at = chars.indexOf(between); at >= 0 && parts.size() < limit; at = chars.indexOf(between, start)) {
            parts.add(self.slice(start, at));
            start = at + between.length();
        }
        parts.add(self.slice(start, chars.length()));
        return parts;
    }

    private static List<Text> splitSpace(Text self, long limit) {
        List<Text> parts = new ArrayList<>();
        Text rest = strip(self, Value.NONE, true, false);
        while (!rest.isEmpty()) {
            int end = 0;
            while (end < rest.length() && !Characters.isSpace(rest.chars().charAt(end))) {
                end++;
            }
            if (parts.size() == limit) {
                parts.add(rest);
                break;
            }
            parts.add(rest.slice(0, end));
            rest = strip(rest.slice(end, rest.length()), Value.NONE, true, false);
        }
        return parts;
    }

    private static List<Text> splitSpaceFromRight(Text self, long limit) {
        List<Text> parts = new ArrayList<>();
        Text rest = strip(self, Value.NONE, false, true);
        while (!rest.isEmpty()) {
            int start = rest.length();
            while (start > 0 && !Characters.isSpace(rest.chars().charAt(start - 1))) {
                start--;
            }
            if (parts.size() == limit) {
                parts.addFirst(rest);
                break;
            }
            parts.addFirst(rest.slice(start, rest.length()));
            rest = strip(rest.slice(0, start), Value.NONE, false, true);
        }
        return parts;
    }

    static List<Text> lines(Text self, boolean keepEnds) {
        List<Text> lines = new ArrayList<>();
        String chars = self.chars();
        int start = 0;
        while (start < chars.length()) {
            int end = start;
            while (end < chars.length() && !Characters.isLineBreak(chars.charAt(end))) {
                end++;
            }
            int next = chars.startsWith("\r\n", end) ? end + 2 : Math.min(end + 1, chars.length());
            lines.add(self.slice(start, keepEnds ? next : end));
            start = next;
        }
        return lines;
    }

    private static Value partition(Text self, Text separator, boolean last) {
        if (separator.isEmpty()) {
            throw new TemplateException("empty separator");
        }
        int at = last
                ? self.chars().lastIndexOf(separator.chars())
                : self.chars().indexOf(separator.chars());
        if (at < 0) {
            return last ? Value.tuple(Text.EMPTY, Text.EMPTY, self) : Value.tuple(self, Text.EMPTY, Text.EMPTY);
        }
        int after = at + separator.length();
        return Value.tuple(self.slice(0, at), self.slice(at, after), self.slice(after, self.length()));
    }

    private static boolean meets(Text self, Arguments given, boolean atStart) {
        String callee = atStart ? "startswith" : "endswith";
        Value wanted = given.required(callee, 0, "prefix");
        String chars = self.chars();
        if (given.get(1, "start") != null) {
            chars = Slices.text(self, given.get(1, "start"), given.get(2, "end", Value.NONE), Value.NONE)
                    .chars();
        }
        List<Value> options = wanted instanceof Value.Sequence(List<Value> items, boolean tuple) && tuple
                ? items
                : List.of(text(callee, given, 0, "prefix"));
        for (Value option : options) {
            if (!(option instanceof Text text)) {
                throw new TemplateException(
                        "tuple for %s must only contain str, not %s", callee, Operators.type(option));
            }
            if (atStart ? chars.startsWith(text.chars()) : chars.endsWith(text.chars())) {
                return true;
            }
        }
        return false;
    }

    static Text replace(Text self, Text old, Text replacement, long count) {
        long left = count < 0 ? Long.MAX_VALUE : count;
        String chars = self.chars();
        Text.Builder out = new Text.Builder();
        int start = 0;
        int at = chars.indexOf(old.chars());
        while (at >= 0 && left-- > 0) {
            out.append(self, start, at).append(replacement);
            start = at + old.length();
            if (!old.isEmpty()) {
                at = chars.indexOf(old.chars(), start);
                continue;
            }
            // An empty one is found between all characters.
            if (at == chars.length()) {
                break;
            }
            at += Character.charCount(chars.codePointAt(at));
        }
        return out.append(self, start, chars.length()).build();
    }

    private static long indexOf(Text self, Text part) {
        int at = self.chars().indexOf(part.chars());
        return at < 0 ? -1 : self.chars().codePointCount(0, at);
    }

    private static long count(Text self, String part) {
        if (part.isEmpty()) {
            return self.count() + 1L;
        }
        long count = 0;
        for (int at = self.chars().indexOf(part); at >= 0; at = self.chars().indexOf(part, at + part.length())) {
            count++;
        }
        return count;
    }

    private static Text join(Text between, Value items) {
        List<Text> parts = new ArrayList<>();
        for (Value item : Operators.iterate(items)) {
            if (!(item instanceof Text text)) {
                throw new TemplateException(
                        "sequence item %d: expected str instance, %s found", parts.size(), Operators.type(item));
            }
            parts.add(text);
        }
        return Text.join(parts, between);
    }

    private static Text zeroFill(Text self, long width) {
        Text.checkLength(width);
        int zeros = (int) Math.max(0, width - self.count());
        int sign = self.chars().startsWith("-") || self.chars().startsWith("+") ? 1 : 0;
        return self.slice(0, sign).plus(Text.own("0".repeat(zeros))).plus(self.slice(sign, self.length()));
    }

    private static Text pad(Text self, Arguments given, String callee, double left) {
        long width = given.integer(callee, 0, "width", 0);
        Text fill = given.get(1, "fillchar", Text.own(" ")) instanceof Text text ? text : Text.own(" ");
        return pad(self, width, fill, left);
    }

    /// @param left share of the padding that goes before the text
    static Text pad(Text self, long width, Text fill, double left) {
        Text.checkLength(width);
        long padding = Math.max(0, width - self.count());
        // Python gives the odd space of a centred text to the left where the width is odd.
        long before = left == 0.5 ? padding / 2 + (padding & width & 1) : (long) (padding * left);
        return ((Text) Operators.arithmetic("*", fill, Value.of(before)))
                .plus(self)
                .plus((Text) Operators.arithmetic("*", fill, Value.of(padding - before)));
    }

    private static Value all(Text self, IntPredicate holds) {
        return Value.of(!self.isEmpty() && self.chars().codePoints().allMatch(holds));
    }

    static boolean isUpper(String chars) {
        return chars.codePoints().anyMatch(Character::isUpperCase)
                && chars.codePoints().noneMatch(Character::isLowerCase);
    }

    static boolean isLower(String chars) {
        return chars.codePoints().anyMatch(Character::isLowerCase)
                && chars.codePoints().noneMatch(Character::isUpperCase);
    }
}
