package io.penstock.model.answer;

import com.fasterxml.jackson.core.io.JsonStringEncoder;
import java.util.StringJoiner;

/// What Llama 3 means by text that is no JSON behind its python tag.
///
/// @param arguments a JSON object
record BuiltInCall(String name, String arguments) {
    private static final String CALL = ".call(";

    /// `name.call(key="text", other=1)` is a call of that name; anything else is code.
    static BuiltInCall of(String code) {
        String text = code.strip();
        int at = text.indexOf(CALL);
        if (at > 0 && text.endsWith(")") && isName(text.substring(0, at))) {
            String arguments = new Keywords(text, at + CALL.length(), text.length() - 1).read();
            if (arguments != null) {
                return new BuiltInCall(text.substring(0, at), arguments);
            }
        }
        return new BuiltInCall(Llama3Calls.INTERPRETER, "{\"code\": " + quoted(text) + "}");
    }

    private static boolean isName(CharSequence text) {
        for (int i = 0; i < text.length(); i++) {
            if (!isNamePart(text.charAt(i)) || (i == 0 && Character.isDigit(text.charAt(0)))) {
                return false;
            }
        }
        return !text.isEmpty();
    }

    private static boolean isNamePart(char c) {
        return c == '_' || (c < 0x80 && Character.isLetterOrDigit(c));
    }

    private static String quoted(CharSequence text) {
        return '"' + new String(JsonStringEncoder.getInstance().quoteAsString(text)) + '"';
    }

    /// Python's keyword arguments, as far as they are literals of strings, numbers, booleans and None.
    private static final class Keywords {
        private final String text;
        private final int end;
        private int at;

        Keywords(String text, int from, int end) {
            this.text = text;
            this.at = from;
            this.end = end;
        }

        /// @return a JSON object, null if this is something else
        String read() {
            StringJoiner members = new StringJoiner(", ", "{", "}");
            skipSpace();
            while (at < end) {
                int from = at;
                while (at < end && isNamePart(text.charAt(at))) {
                    at++;
                }
                String key = text.substring(from, at);
                skipSpace();
                if (!isName(key) || at == end || text.charAt(at++) != '=') {
                    return null;
                }
                skipSpace();
                String value = value();
                if (value == null) {
                    return null;
                }
                members.add(quoted(key) + ": " + value);
                skipSpace();
                if (at < end && text.charAt(at++) != ',') {
                    return null;
                }
                skipSpace();
            }
            return members.toString();
        }

        private String value() {
            if (at == end) {
                return null;
            }
            char quote = text.charAt(at);
            return quote == '"' || quote == '\'' ? string(quote) : word();
        }

        private String string(char quote) {
            StringBuilder value = new StringBuilder();
            for (at++; at < end; at++) {
                char c = text.charAt(at);
                if (c == quote) {
                    at++;
                    return quoted(value);
                }
                if (c == '\\' && at + 1 < end) {
                    at++;
                    char escaped = text.charAt(at);
                    switch (escaped) {
                        case 'n' -> value.append('\n');
                        case 't' -> value.append('\t');
                        case '\\', '"', '\'' -> value.append(escaped);
                        // As Python reads an escape that it does not know; others are not written here.
                        default -> value.append('\\').append(escaped);
                    }
                } else {
                    value.append(c);
                }
            }
            return null;
        }

        private String word() {
            int from = at;
            while (at < end && text.charAt(at) != ',' && !PartWriter.isSpace(text.charAt(at))) {
                at++;
            }
            String word = text.substring(from, at);
            return switch (word) {
                case "True" -> "true";
                case "False" -> "false";
                case "None" -> "null";
                // Text from outside.
                default -> isNumber(word) ? word : null;
            };
        }

        private static boolean isNumber(String word) {
            int digits = word.startsWith("-") ? 1 : 0;
            int point = word.indexOf('.', digits);
            String whole = word.substring(digits, point < 0 ? word.length() : point);
            boolean leadingZero = whole.length() > 1 && whole.startsWith("0");
            return isDigits(whole) && !leadingZero && (point < 0 || isDigits(word.substring(point + 1)));
        }

        private static boolean isDigits(String text) {
            return !text.isEmpty() && text.chars().allMatch(c -> c >= '0' && c <= '9');
        }

        private void skipSpace() {
            while (at < end && PartWriter.isSpace(text.charAt(at))) {
                at++;
            }
        }
    }
}
