package io.penstock.model.template;

import java.util.List;
import java.util.Locale;

/// Python's `%` and `str.format` on text, as far as templates use them: `%s %r %d %i %f %.Nf %x %%`, and `{}`, `{0}`,
/// `{name}` without format specifications. Others are refused.
final class TextFormat {
    private TextFormat() {}

    static Text percent(Text format, Value values) {
        List<Value> items = values instanceof Value.Sequence(List<Value> tuple, boolean isTuple) && isTuple
                ? tuple
                : List.of(values);
        String chars = format.chars();
        Text.Builder out = new Text.Builder();
        int used = 0;
        int plain = 0;
        for (int at = chars.indexOf('%'); at >= 0; at = chars.indexOf('%', plain)) {
            out.append(format, plain, at);
            int end = at + 1;
            while (end < chars.length() && "0123456789.".indexOf(chars.charAt(end)) >= 0) {
                end++;
            }
            if (end >= chars.length()) {
                throw new TemplateException("incomplete format");
            }
            String precision = chars.substring(at + 1, end);
            if (chars.charAt(end) == '%') {
                out.append("%", format, end);
            } else {
                if (used >= items.size()) {
                    throw new TemplateException("not enough arguments for format string");
                }
                out.append(converted(chars.charAt(end), precision, items.get(used++)));
            }
            plain = end + 1;
        }
        if (used < items.size() && !(values instanceof Value.Mapping)) {
            throw new TemplateException("not all arguments converted during string formatting");
        }
        return out.append(format, plain, chars.length()).build();
    }

    private static Text converted(char conversion, String precision, Value value) {
        if (conversion == 'f' && Operators.isNumber(value) && precision.matches("(\\.[0-9]{1,2})?")) {
            return Text.own(String.format(
                    Locale.ROOT, "%" + (precision.isEmpty() ? ".6" : precision) + "f", Operators.real(value)));
        }
        if (!precision.isEmpty() || "srdix".indexOf(conversion) < 0) {
            throw new TemplateException(
                    "format %%%s%s of %s is not supported", precision, conversion, Operators.type(value));
        }
        return switch (conversion) {
            case 's' -> Spelling.text(value);
            case 'r' -> Spelling.represented(value);
            case 'x' -> Text.own(Long.toHexString(Operators.integer(value, "%x format")));
            default ->
                Text.own(Long.toString(
                        value instanceof Value.Real(double number)
                                ? (long) number
                                : Operators.integer(value, "%d format")));
        };
    }

    static Text braces(Text format, Arguments arguments) {
        String chars = format.chars();
        Text.Builder out = new Text.Builder();
        int automatic = 0;
        for (int at = 0; at < chars.length(); at++) {
            char letter = chars.charAt(at);
            if (letter != '{' && letter != '}') {
                out.append(format, at, at + 1);
                continue;
            }
            if (at + 1 < chars.length() && chars.charAt(at + 1) == letter) {
                out.append(format, at, at + 1);
                at++;
                continue;
            }
            int close = chars.indexOf('}', at);
            if (letter == '}' || close < 0) {
                throw new TemplateException("single '%s' encountered in format string", letter);
            }
            String field = chars.substring(at + 1, close);
            Value value;
            if (field.isEmpty()) {
                value = arguments.get(automatic++, "");
            } else if (field.chars().allMatch(Character::isDigit) && field.length() < 6) {
                value = arguments.get(Integer.parseInt(field), "");
            } else {
                value = arguments.named().get(field);
            }
            if (value == null) {
                throw new TemplateException("format field '{%s}' is not given, or not supported", field);
            }
            out.append(Spelling.text(value));
            at = close;
        }
        return out.build();
    }
}
