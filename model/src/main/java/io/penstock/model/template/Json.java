package io.penstock.model.template;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;

/// Python's `json.dumps`, as the `tojson` filter of transformers calls it.
///
/// @param indent of one level; null for all on one line
record Json(boolean ensureAscii, Text indent, Text itemSeparator, Text keySeparator, boolean sortKeys) {

    static Text dump(Value value, Arguments arguments) {
        arguments.only("tojson", "ensure_ascii", "indent", "separators", "sort_keys");
        Value indent = arguments.get(1, "indent", Value.NONE);
        Text step = switch (indent) {
            case Value.None() -> null;
            case Text text -> text;
            case Value other -> {
                long width = Math.max(0, Operators.integer(other, "tojson"));
                Text.checkLength(width);
                yield Text.own(" ".repeat((int) width));
            }
        };
        Text item = Text.own(step == null ? ", " : ",");
        Text key = Text.own(": ");
        if (arguments.get(2, "separators", Value.NONE) instanceof Value.Sequence(List<Value> pair, boolean _)) {
            if (pair.size() != 2
                    || !(pair.getFirst() instanceof Text first)
                    || !(pair.getLast() instanceof Text last)) {
                throw new TemplateException("tojson needs two strings as separators");
            }
            item = first;
            key = last;
        }
        Json json = new Json(
                arguments.flag(0, "ensure_ascii", false), step, item, key, arguments.flag(3, "sort_keys", false));
        Text.Builder out = new Text.Builder();
        json.write(value, 0, out);
        return out.build();
    }

    private void write(Value value, int depth, Text.Builder out) {
        if (depth > Value.DEEPEST) {
            throw new TemplateException("values nested more than %d deep", Value.DEEPEST);
        }
        switch (value) {
            case Text text -> quote(text, out);
            case Value.Sequence(List<Value> items, boolean _) -> {
                List<Runnable> writers = new ArrayList<>();
                items.forEach(item -> writers.add(() -> write(item, depth + 1, out)));
                enclose("[", "]", writers, depth, out);
            }
            case Value.Mapping(Map<Value, Value> entries) -> {
                List<Map.Entry<Value, Value>> sorted = new ArrayList<>(entries.entrySet());
                if (sortKeys) {
                    sorted.sort(Comparator.comparing(
                            Map.Entry::getKey, (left, right) -> Operators.compare(left, right, "<")));
                }
                List<Runnable> writers = new ArrayList<>();
                sorted.forEach(entry -> writers.add(() -> {
                    quote(key(entry.getKey()), out);
                    out.append(keySeparator);
                    write(entry.getValue(), depth + 1, out);
                }));
                enclose("{", "}", writers, depth, out);
            }
            case Value.None _, Value.Bool _, Value.Int _, Value.Real _ -> out.append(scalar(value), true);
            case Value.Undefined _, Value.Namespace _, Value.Callable _, Loop _ ->
                throw new TemplateException("Object of type %s is not JSON serializable", Operators.type(value));
        }
    }

    private void enclose(String open, String close, List<Runnable> writers, int depth, Text.Builder out) {
        out.append(open, true);
        for (int index = 0; index < writers.size(); index++) {
            if (index > 0) {
                out.append(itemSeparator);
            }
            breakLine(depth + 1, out);
            writers.get(index).run();
        }
        if (!writers.isEmpty()) {
            breakLine(depth, out);
        }
        out.append(close, true);
    }

    private void breakLine(int depth, Text.Builder out) {
        if (indent != null) {
            out.append("\n", true);
            for (int level = 0; level < depth; level++) {
                out.append(indent);
            }
        }
    }

    private static Text key(Value key) {
        if (key instanceof Text text) {
            return text;
        }
        if (key instanceof Value.None || Operators.isNumber(key)) {
            return Text.own(scalar(key));
        }
        throw new TemplateException("keys must be str, int, float, bool or None, not %s", Operators.type(key));
    }

    private static String scalar(Value value) {
        return switch (value) {
            case Value.None() -> "null";
            case Value.Bool(boolean flag) -> flag ? "true" : "false";
            case Value.Real(double number) when Double.isNaN(number) -> "NaN";
            case Value.Real(double number) when Double.isInfinite(number) -> number > 0 ? "Infinity" : "-Infinity";
            case Value other -> Spelling.text(other).chars();
        };
    }

    private void quote(Text text, Text.Builder out) {
        String chars = text.chars();
        out.append("\"", true);
        int plain = 0;
        for (int at = 0; at < chars.length(); at++) {
            String escape = escape(chars.charAt(at));
            if (escape != null) {
                out.append(text, plain, at);
                out.append(escape, text, at);
                plain = at + 1;
            }
        }
        out.append(text, plain, chars.length());
        out.append("\"", true);
    }

    /// @return null for a character that stands for itself
    private String escape(char letter) {
        return switch (letter) {
            case '"' -> "\\\"";
            case '\\' -> "\\\\";
            case '\n' -> "\\n";
            case '\r' -> "\\r";
            case '\t' -> "\\t";
            case '\f' -> "\\f";
            case '\b' -> "\\b";
            default -> letter < ' ' || (ensureAscii && letter > '~') ? "\\u%04x".formatted((int) letter) : null;
        };
    }
}
