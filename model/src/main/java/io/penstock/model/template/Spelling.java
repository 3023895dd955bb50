package io.penstock.model.template;

import java.util.List;
import java.util.Map;

/// How values print: Python's `str` and `repr`.
final class Spelling {
    private Spelling() {}

    static Text text(Value value) {
        if (value instanceof Text text) {
            return text;
        }
        if (value instanceof Value.Undefined) {
            return Text.EMPTY;
        }
        Text.Builder out = new Text.Builder();
        represent(value, out, 0);
        return out.build();
    }

    static Text represented(Value value) {
        Text.Builder out = new Text.Builder();
        represent(value, out, 0);
        return out.build();
    }

    private static void represent(Value value, Text.Builder out, int depth) {
        if (depth > Value.DEEPEST) {
            throw new TemplateException("values nested more than %d deep", Value.DEEPEST);
        }
        switch (value) {
            case Value.None() -> out.append("None", true);
            case Value.Bool(boolean flag) -> out.append(flag ? "True" : "False", true);
            case Value.Int(long number) -> out.append(Long.toString(number), true);
            case Value.Real(double number) -> out.append(Numbers.spell(number), true);
            case Text text -> quote(text, out);
            case Value.Sequence(List<Value> items, boolean tuple) -> {
                out.append(tuple ? "(" : "[", true);
                String between = "";
                for (Value item : items) {
                    out.append(between, true);
                    represent(item, out, depth + 1);
                    between = ", ";
                }
                out.append(tuple ? (items.size() == 1 ? ",)" : ")") : "]", true);
            }
            case Value.Mapping(Map<Value, Value> entries) -> map(entries, out, depth);
            case Value.Namespace(Map<String, Value> attributes) -> {
                out.append("<Namespace {", true);
                String between = "";
                for (Map.Entry<String, Value> entry : attributes.entrySet()) {
                    out.append(between, true);
                    quote(Text.own(entry.getKey()), out);
                    out.append(": ", true);
                    represent(entry.getValue(), out, depth + 1);
                    between = ", ";
                }
                out.append("}>", true);
            }
            case Value.Undefined _ -> out.append("Undefined", true);
            case Value.Callable(String name, Value.Body _) -> out.append("<function " + name + ">", true);
            case Loop _ -> out.append("<LoopContext>", true);
        }
    }

    private static void map(Map<Value, Value> entries, Text.Builder out, int depth) {
        out.append("{", true);
        String between = "";
        for (Map.Entry<Value, Value> entry : entries.entrySet()) {
            out.append(between, true);
            represent(entry.getKey(), out, depth + 1);
            out.append(": ", true);
            represent(entry.getValue(), out, depth + 1);
            between = ", ";
        }
        out.append("}", true);
    }

    private static void quote(Text text, Text.Builder out) {
        String chars = text.chars();
        char quote = chars.indexOf('\'') >= 0 && chars.indexOf('"') < 0 ? '"' : '\'';
        out.append(String.valueOf(quote), true);
        for (int at = 0; at < chars.length(); ) {
            int codePoint = chars.codePointAt(at);
            int next = at + Character.charCount(codePoint);
            if (codePoint == quote || codePoint == '\\') {
                out.append("\\" + (char) codePoint, text, at);
            } else if (codePoint == '\n' || codePoint == '\r' || codePoint == '\t') {
                out.append(codePoint == '\n' ? "\\n" : codePoint == '\r' ? "\\r" : "\\t", text, at);
            } else if (Characters.isPrintable(codePoint)) {
                out.append(text, at, next);
            } else {
                String format = codePoint < 0x100 ? "\\x%02x" : codePoint < 0x10000 ? "\\u%04x" : "\\U%08x";
                out.append(format.formatted(codePoint), text, at);
            }
            at = next;
        }
        out.append(String.valueOf(quote), true);
    }
}
