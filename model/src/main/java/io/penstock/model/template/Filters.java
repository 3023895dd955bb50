package io.penstock.model.template;

import java.math.RoundingMode;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;

/// What follows `|`: jinja2's filters, those of them that chat templates use.
final class Filters {
    private Filters() {}

    /// A filter, by the input and what the parentheses hold.
    private interface Filter {
        Value apply(Value input, Arguments given);
    }

    private static final Map<String, Filter> FILTERS = Map.ofEntries(
            Map.entry("abs", (input, _) -> abs(input)),
            Map.entry("attr", (input, given) -> attribute(input, given)),
            Map.entry("batch", Filters::batch),
            Map.entry("capitalize", (input, _) -> TextMethods.capitalize(Spelling.text(input))),
            Map.entry(
                    "center",
                    (input, given) -> TextMethods.pad(
                            Spelling.text(input), given.integer("center", 0, "width", 80), Text.own(" "), 0.5)),
            Map.entry("count", (input, _) -> Value.of(Operators.length(input))),
            Map.entry("length", (input, _) -> Value.of(Operators.length(input))),
            Map.entry("d", Filters::otherwise),
            Map.entry("default", Filters::otherwise),
            Map.entry("dictsort", Filters::sortedItems),
            Map.entry("e", (input, _) -> escape(Spelling.text(input))),
            Map.entry("escape", (input, _) -> escape(Spelling.text(input))),
            Map.entry("first", (input, _) -> end(input, "No first item, sequence was empty.", List::getFirst)),
            Map.entry("last", (input, _) -> end(input, "No last item, sequence was empty.", List::getLast)),
            Map.entry("float", Filters::real),
            Map.entry("format", Filters::format),
            Map.entry("groupby", Filters::group),
            Map.entry("indent", Filters::indent),
            Map.entry("int", Filters::integer),
            Map.entry("items", (input, _) -> items(input)),
            Map.entry("join", Filters::join),
            Map.entry("list", (input, _) -> Value.list(Operators.iterate(input))),
            Map.entry("lower", (input, _) -> TextMethods.lower(Spelling.text(input))),
            Map.entry("upper", (input, _) -> TextMethods.upper(Spelling.text(input))),
            Map.entry("map", Filters::map),
            Map.entry("max", (input, given) -> extreme(input, given, 1)),
            Map.entry("min", (input, given) -> extreme(input, given, -1)),
            Map.entry("reject", (input, given) -> select(input, given, false, false)),
            Map.entry("rejectattr", (input, given) -> select(input, given, true, false)),
            Map.entry("select", (input, given) -> select(input, given, false, true)),
            Map.entry("selectattr", (input, given) -> select(input, given, true, true)),
            Map.entry("replace", Filters::replace),
            Map.entry("reverse", (input, _) -> Slices.of(reversible(input), Value.NONE, Value.NONE, Value.of(-1))),
            Map.entry("round", Filters::round),
            Map.entry("safe", (input, _) -> Spelling.text(input)),
            Map.entry("sort", Filters::sort),
            Map.entry("string", (input, _) -> Spelling.text(input)),
            Map.entry("sum", Filters::sum),
            Map.entry("title", (input, _) -> title(Spelling.text(input))),
            Map.entry("tojson", Json::dump),
            Map.entry(
                    "trim",
                    (input, given) ->
                            TextMethods.strip(Spelling.text(input), given.get(0, "chars", Value.NONE), true, true)),
            Map.entry("unique", Filters::unique),
            Map.entry("wordcount", (input, _) -> Value.of(words(Spelling.text(input)))));

    static boolean exists(String name) {
        return FILTERS.containsKey(name);
    }

    static Value apply(String name, Value input, Arguments given) {
        Filter filter = FILTERS.get(name);
        if (filter == null) {
            throw new TemplateException("No filter named '%s'.", name);
        }
        return filter.apply(input, given);
    }

    private static Value abs(Value input) {
        return input instanceof Value.Real(double number)
                ? new Value.Real(Math.abs(number))
                : Value.of(Math.absExact(Operators.integer(input, "abs")));
    }

    private static Value attribute(Value input, Arguments given) {
        String name = Spelling.text(given.required("attr", 0, "name")).chars();
        // Methods and namespaces have attributes; a dict's items are none.
        return input instanceof Value.Mapping(Map<Value, Value> entries) && entries.containsKey(Text.own(name))
                ? new Value.Undefined("'dict object' has no attribute '" + name + "'")
                : Attributes.attribute(input, name);
    }

    private static Value batch(Value input, Arguments given) {
        long size = given.integer("batch", 0, "linecount", 1);
        Value fill = given.get(1, "fill_with", Value.NONE);
        List<Value> batches = new ArrayList<>();
        List<Value> items = Operators.iterate(input);
        int step = Math.clamp(size, 1, Integer.MAX_VALUE);
        for (int start = 0; start < items.size(); start += step) {
            List<Value> batch = new ArrayList<>(items.subList(start, Math.min(items.size(), start + step)));
            if (!(fill instanceof Value.None)) {
                Text.checkLength(step);
                while (batch.size() < step) {
                    batch.add(fill);
                }
            }
            batches.add(Value.list(batch));
        }
        return Value.list(batches);
    }

    private static Value otherwise(Value input, Arguments given) {
        given.only("default", "default_value", "boolean");
        boolean absent =
                input instanceof Value.Undefined || (given.flag(1, "boolean", false) && !Operators.isTrue(input));
        return absent ? given.get(0, "default_value", Text.EMPTY) : input;
    }

    private static Value sortedItems(Value input, Arguments given) {
        if (!(input instanceof Value.Mapping(Map<Value, Value> entries))) {
            Operators.refuseUndefined(input);
            throw new TemplateException("dictsort needs a dict, not %s", Operators.type(input));
        }
        boolean byValue =
                switch (Spelling.text(given.get(1, "by", Text.own("key"))).chars()) {
                    case "key" -> false;
                    case "value" -> true;
                    default -> throw new TemplateException("You can only sort by either \"key\" or \"value\"");
                };
        boolean exact = given.flag(0, "case_sensitive", false);
        List<Map.Entry<Value, Value>> sorted = new ArrayList<>(entries.entrySet());
        sorted.sort(order(
                entry -> folded(byValue ? entry.getValue() : entry.getKey(), exact), given.flag(2, "reverse", false)));
        List<Value> pairs = new ArrayList<>();
        sorted.forEach(entry -> pairs.add(Value.tuple(entry.getKey(), entry.getValue())));
        return Value.list(pairs);
    }

    private static <T> Comparator<T> order(Function<T, Value> key, boolean reverse) {
        Comparator<T> order = (left, right) -> Operators.compare(key.apply(left), key.apply(right), "<");
        return reverse ? order.reversed() : order;
    }

    private static Value folded(Value value, boolean exact) {
        return !exact && value instanceof Text text ? TextMethods.lower(text) : value;
    }

    private static Text escape(Text text) {
        Text.Builder out = new Text.Builder();
        for (int at = 0; at < text.length(); at++) {
            String entity = switch (text.chars().charAt(at)) {
                case '&' -> "&amp;";
                case '<' -> "&lt;";
                case '>' -> "&gt;";
                case '"' -> "&#34;";
                case '\'' -> "&#39;";
                default -> null;
            };
            if (entity == null) {
                out.append(text, at, at + 1);
            } else {
                out.append(entity, text, at);
            }
        }
        return out.build();
    }

    private static Value end(Value input, String empty, Function<List<Value>, Value> end) {
        List<Value> items = Operators.iterate(input);
        return items.isEmpty() ? new Value.Undefined(empty) : end.apply(items);
    }

    private static Value real(Value input, Arguments given) {
        Value otherwise = given.get(0, "default", new Value.Real(0));
        if (Operators.isNumber(input)) {
            return new Value.Real(Operators.real(input));
        }
        Operators.refuseUndefined(input);
        Value parsed = input instanceof Text text ? Numbers.parseReal(text.chars()) : null;
        return parsed == null ? otherwise : parsed;
    }

    private static Value integer(Value input, Arguments given) {
        Value otherwise = given.get(0, "default", Value.of(0));
        if (input instanceof Value.Real(double number)) {
            return Double.isNaN(number) || Math.abs(number) >= 0x1p63 ? otherwise : Value.of((long) number);
        }
        if (Operators.isNumber(input)) {
            return Value.of(Operators.whole(input));
        }
        Operators.refuseUndefined(input);
        if (!(input instanceof Text text)) {
            return otherwise;
        }
        Value whole = Numbers.parseInt(text.chars(), Math.clamp(given.integer("int", 1, "base", 10), 2, 36));
        if (whole != null) {
            return whole;
        }
        return Numbers.parseReal(text.chars()) instanceof Value.Real(double number) && Math.abs(number) < 0x1p63
                ? Value.of((long) number)
                : otherwise;
    }

    private static Value format(Value input, Arguments given) {
        return TextFormat.percent(Spelling.text(input), new Value.Sequence(given.positional(), true));
    }

    private static Value group(Value input, Arguments given) {
        Function<Value, Value> getter = getter(given.required("groupby", 0, "attribute"), given.get(1, "default"));
        boolean exact = given.flag(2, "case_sensitive", false);
        List<Value> items = new ArrayList<>(Operators.iterate(input));
        items.sort(order(item -> folded(getter.apply(item), exact), false));
        Map<Value, List<Value>> groups = new LinkedHashMap<>();
        for (Value item : items) {
            groups.computeIfAbsent(folded(getter.apply(item), exact), _ -> new ArrayList<>())
                    .add(item);
        }
        List<Value> pairs = new ArrayList<>();
        // A group is named as its first item spells it.
        groups.values().forEach(group -> pairs.add(Value.tuple(getter.apply(group.getFirst()), Value.list(group))));
        return Value.list(pairs);
    }

    private static Value indent(Value input, Arguments given) {
        given.only("indent", "width", "first", "blank");
        Value width = given.get(0, "width", Value.of(4));
        Text step = width instanceof Text text
                ? text
                : (Text) Operators.arithmetic("*", Text.own(" "), Value.of(Operators.integer(width, "indent")));
        boolean blank = given.flag(2, "blank", false);
        Text.Builder out = new Text.Builder();
        if (given.flag(1, "first", false)) {
            out.append(step);
        }
        // As the reference does it, so that a last line break shows as an empty line.
        List<Text> lines = TextMethods.lines(Spelling.text(input).plus(Text.own("\n")), false);
        for (int index = 0; index < lines.size(); index++) {
            Text line = lines.get(index);
            if (index > 0) {
                out.append("\n", true);
                if (blank || !line.isEmpty()) {
                    out.append(step);
                }
            }
            out.append(line);
        }
        return out.build();
    }

    private static Value items(Value input) {
        return switch (input) {
            case Value.Undefined _ -> Value.list(List.of());
            case Value.Mapping(Map<Value, Value> entries) -> Attributes.items(entries);
            default -> throw new TemplateException("Can only get item pairs from a mapping.");
        };
    }

    private static Value join(Value input, Arguments given) {
        given.only("join", "d", "attribute");
        Value attribute = given.get(1, "attribute");
        Function<Value, Value> getter = attribute == null ? Function.identity() : getter(attribute, null);
        List<Text> parts = Operators.iterate(input).stream()
                .map(getter)
                .map(Spelling::text)
                .toList();
        return Text.join(parts, Spelling.text(given.get(0, "d", Text.EMPTY)));
    }

    private static Value map(Value input, Arguments given) {
        Function<Value, Value> change;
        if (given.positional().isEmpty() && given.named().containsKey("attribute")) {
            change = getter(given.named().get("attribute"), given.named().get("default"));
        } else {
            String name = Spelling.text(given.required("map", 0, "filter")).chars();
            Arguments rest = given.rest(1);
            change = item -> apply(name, item, rest);
        }
        return Value.list(itemsIfAny(input).stream().map(change).toList());
    }

    private static Value select(Value input, Arguments given, boolean byAttribute, boolean keep) {
        int first = byAttribute ? 1 : 0;
        Function<Value, Value> getter =
                byAttribute ? getter(given.required("selectattr", 0, "attribute"), null) : Function.identity();
        Value test = given.get(first, "");
        Arguments rest = given.rest(first + 1);
        List<Value> kept = new ArrayList<>();
        for (Value item : itemsIfAny(input)) {
            Value value = getter.apply(item);
            boolean holds = test == null
                    ? Operators.isTrue(value)
                    : Tests.apply(Spelling.text(test).chars(), value, rest);
            if (holds == keep) {
                kept.add(item);
            }
        }
        return Value.list(kept);
    }

    /// Some filters take None, 0 and False for an empty list.
    private static List<Value> itemsIfAny(Value input) {
        return Operators.isTrue(input) ? Operators.iterate(input) : List.of();
    }

    /// @param path names and positions with dots between
    /// @param otherwise in the place of what is not there; null for none
    private static Function<Value, Value> getter(Value path, Value otherwise) {
        List<Value> keys = new ArrayList<>();
        if (path instanceof Text text) {
            for (String part : text.chars().split("\\.", -1)) {
                boolean digits =
                        !part.isEmpty() && part.length() < 10 && part.chars().allMatch(Character::isDigit);
                keys.add(digits ? Value.of(Long.parseLong(part)) : Text.own(part));
            }
        } else {
            keys.add(path);
        }
        return item -> {
            Value value = item;
            for (Value key : keys) {
                value = Attributes.item(value, key);
                if (value instanceof Value.Undefined && otherwise != null) {
                    value = otherwise;
                }
            }
            return value;
        };
    }

    private static Value extreme(Value input, Arguments given, int sign) {
        Value attribute = given.get(1, "attribute");
        Function<Value, Value> getter = attribute == null ? Function.identity() : getter(attribute, null);
        boolean exact = given.flag(0, "case_sensitive", false);
        Value best = null;
        for (Value item : Operators.iterate(input)) {
            if (best == null
                    || sign
                                    * Operators.compare(
                                            folded(getter.apply(item), exact), folded(getter.apply(best), exact), "<")
                            > 0) {
                best = item;
            }
        }
        return best == null ? new Value.Undefined("No aggregated item, sequence was empty.") : best;
    }

    private static Value replace(Value input, Arguments given) {
        given.only("replace", "old", "new", "count");
        Value count = given.get(2, "count", Value.NONE);
        return TextMethods.replace(
                Spelling.text(input),
                Spelling.text(given.required("replace", 0, "old")),
                Spelling.text(given.required("replace", 1, "new")),
                count instanceof Value.None ? -1 : Operators.integer(count, "replace"));
    }

    private static Value reversible(Value input) {
        return input instanceof Text ? input : new Value.Sequence(Operators.iterate(input), false);
    }

    private static Value round(Value input, Arguments given) {
        if (!Operators.isNumber(input)) {
            Operators.refuseUndefined(input);
            throw new TemplateException("type %s doesn't define __round__ method", Operators.type(input));
        }
        RoundingMode mode = switch (Spelling.text(given.get(1, "method", Text.own("common")))
                .chars()) {
            case "common" -> RoundingMode.HALF_EVEN;
            case "ceil" -> RoundingMode.CEILING;
            case "floor" -> RoundingMode.FLOOR;
            default -> throw new TemplateException("method must be common, ceil or floor");
        };
        int digits = Math.clamp(given.integer("round", 0, "precision", 0), -400, 400);
        if (mode == RoundingMode.HALF_EVEN && !(input instanceof Value.Real)) {
            return digits >= 0
                    ? Value.of(Operators.whole(input))
                    : Value.of((long) Numbers.round((double) Operators.whole(input), digits, mode));
        }
        return new Value.Real(Numbers.round(Operators.real(input), digits, mode));
    }

    private static Value sort(Value input, Arguments given) {
        given.only("sort", "reverse", "case_sensitive", "attribute");
        Value attribute = given.get(2, "attribute", Value.NONE);
        List<Function<Value, Value>> getters = new ArrayList<>();
        if (attribute instanceof Text text) {
            for (String path : text.chars().split(",", -1)) {
                getters.add(getter(Text.own(path), null));
            }
        } else {
            getters.add(attribute instanceof Value.None ? Function.identity() : getter(attribute, null));
        }
        boolean exact = given.flag(1, "case_sensitive", false);
        List<Value> items = new ArrayList<>(Operators.iterate(input));
        items.sort(order(
                item -> new Value.Sequence(
                        getters.stream()
                                .map(getter -> folded(getter.apply(item), exact))
                                .toList(),
                        false),
                given.flag(0, "reverse", false)));
        return Value.list(items);
    }

    private static Value sum(Value input, Arguments given) {
        Value attribute = given.get(0, "attribute", Value.NONE);
        Function<Value, Value> getter = attribute instanceof Value.None ? Function.identity() : getter(attribute, null);
        Value sum = given.get(1, "start", Value.of(0));
        for (Value item : Operators.iterate(input)) {
            sum = Operators.arithmetic("+", sum, getter.apply(item));
        }
        return sum;
    }

    /// A capital after white space, `-`, and opening brackets; the filter, unlike the method.
    private static Text title(Text text) {
        Text.Builder out = new Text.Builder();
        boolean start = true;
        for (Value letter : text.letters()) {
            Text one = (Text) letter;
            char first = one.chars().charAt(0);
            out.append(start ? TextMethods.upper(one) : TextMethods.lower(one));
            start = Characters.isSpace(first) || "-({[<".indexOf(first) >= 0;
        }
        return out.build();
    }

    private static Value unique(Value input, Arguments given) {
        Value attribute = given.get(1, "attribute", Value.NONE);
        Function<Value, Value> getter = attribute instanceof Value.None ? Function.identity() : getter(attribute, null);
        boolean exact = given.flag(0, "case_sensitive", false);
        Set<Value> seen = new HashSet<>();
        return Value.list(Operators.iterate(input).stream()
                .filter(item -> seen.add(folded(getter.apply(item), exact)))
                .toList());
    }

    private static long words(Text text) {
        long words = 0;
        boolean inWord = false;
        for (char letter : text.chars().toLowerCase(Locale.ROOT).toCharArray()) {
            boolean part = Character.isLetterOrDigit(letter) || letter == '_';
            words += part && !inWord ? 1 : 0;
            inWord = part;
        }
        return words;
    }
}
