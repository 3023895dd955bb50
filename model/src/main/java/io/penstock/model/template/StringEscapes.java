package io.penstock.model.template;

/// Escapes in string literals, as Python reads them.
final class StringEscapes {
    private StringEscapes() {}

    /// @return the text meant, or null where an escape is cut short
    static String decode(String literal) {
        if (literal.indexOf('\\') < 0) {
            return literal;
        }
        StringBuilder out = new StringBuilder();
        for (int at = 0; at < literal.length(); at++) {
            char letter = literal.charAt(at);
            if (letter != '\\') {
                out.append(letter);
                continue;
            }
            char escape = literal.charAt(++at);
            int digits = escape == 'x' ? 2 : escape == 'u' ? 4 : escape == 'U' ? 8 : 0;
            if (digits > 0) {
                if (!appendHex(literal, at + 1, digits, out)) {
                    return null;
                }
                at += digits;
            } else if (escape >= '0' && escape <= '7') {
                int end = at + 1;
                while (end < literal.length()
                        && end < at + 3
                        && literal.charAt(end) >= '0'
                        && literal.charAt(end) <= '7') {
                    end++;
                }
                out.append((char) Integer.parseInt(literal.substring(at, end), 8));
                at = end - 1;
            } else {
                appendSimple(escape, out);
            }
        }
        return out.toString();
    }

    private static boolean appendHex(String literal, int start, int digits, StringBuilder out) {
        if (start + digits > literal.length()) {
            return false;
        }
        int codePoint = 0;
        for (int at = start; at < start + digits; at++) {
            int digit = Character.digit(literal.charAt(at), 16);
            if (digit < 0 || codePoint > Character.MAX_CODE_POINT) {
                return false;
            }
            codePoint = codePoint * 16 + digit;
        }
        if (!Character.isValidCodePoint(codePoint)) {
            return false;
        }
        out.appendCodePoint(codePoint);
        return true;
    }

    private static void appendSimple(char escape, StringBuilder out) {
        switch (escape) {
            case 'n' -> out.append('\n');
            case 't' -> out.append('\t');
            case 'r' -> out.append('\r');
            case 'f' -> out.append('\f');
            case 'b' -> out.append('\b');
            case 'a' -> out.append('\u0007');
            case 'v' -> out.append('\u000B');
            case '\\', '\'', '"' -> out.append(escape);
            case '\n' -> {
                // A line goes on after a backslash.
            }
            default -> out.append('\\').append(escape);
        }
    }
}
