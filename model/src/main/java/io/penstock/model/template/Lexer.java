package io.penstock.model.template;

import io.penstock.model.template.Token.Kind;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;

/// Cuts template source into tokens as jinja2 does with `trim_blocks` and `lstrip_blocks`: the line break after a block
/// goes, and so does white space before one that begins its line; `-` strips all white space there, `+` none.
final class Lexer {
    private static final List<String> OPERATORS = List.of(
            "//", "**", "==", "!=", "<=", ">=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<",
            "=", ".", ":", "|", ",", ";");

    private final String source;
    private final List<Token> tokens = new ArrayList<>();
    private int position;
    private int line = 1;
    /// Whether what was read last ended a line.
    private boolean lineStarting = true;

    private Lexer(String source) {
        this.source = source;
    }

    static List<Token> tokens(String template) {
        String lines = template.replace("\r\n", "\n").replace('\r', '\n');
        Lexer lexer = new Lexer(lines.endsWith("\n") ? lines.substring(0, lines.length() - 1) : lines);
        lexer.read();
        return lexer.tokens;
    }

    private void read() {
        while (position < source.length()) {
            int begin = nextBegin(position);
            if (begin < 0) {
                addData(source.substring(position));
                position = source.length();
                break;
            }
            char kind = source.charAt(begin + 1);
            char sign = begin + 2 < source.length() ? source.charAt(begin + 2) : ' ';
            addData(stripped(source.substring(position, begin), kind, sign));
            countLines(position, begin);
            position = begin + (sign == '-' || sign == '+' ? 3 : 2);
            lineStarting = false;
            switch (kind) {
                case '#' -> comment();
                case '{' -> tag(Kind.VARIABLE_BEGIN, Kind.VARIABLE_END);
                default -> {
                    if (!raw()) {
                        tag(Kind.BLOCK_BEGIN, Kind.BLOCK_END);
                    }
                }
            }
        }
        tokens.add(new Token(Kind.END, "", line));
    }

    private int nextBegin(int from) {
        for (int at = source.indexOf('{', from);
                at >= 0 && at + 1 < source.length();
                at = source.indexOf('{', at + 1)) {
            if ("%{#".indexOf(source.charAt(at + 1)) >= 0) {
                return at;
            }
        }
        return -1;
    }

    private String stripped(String data, char kind, char sign) {
        if (sign == '-') {
            return Characters.stripRight(data);
        }
        if (sign == '+' || kind == '{') {
            return data;
        }
        int lineStart = data.lastIndexOf('\n') + 1;
        boolean whole = lineStart > 0 || lineStarting;
        return whole && Characters.strip(data.substring(lineStart)).isEmpty() ? data.substring(0, lineStart) : data;
    }

    private void addData(String data) {
        if (!data.isEmpty()) {
            tokens.add(new Token(Kind.DATA, data, line));
        }
    }

    private void comment() {
        if (position == source.length()) {
            // A begin that ends the template is let pass.
            return;
        }
        int end = source.indexOf("#}", position);
        if (end < 0) {
            throw failure("Missing end of comment tag");
        }
        int start = position;
        // "{#-#}": the sign is the begin's, so the end has none.
        char sign = end > start ? source.charAt(end - 1) : ' ';
        position = end;
        countLines(start, end);
        endTag(sign == '-' ? '-' : sign == '+' ? '+' : ' ', true);
    }

    /// Reads a raw block if one begins here, its tag's begin already read.
    private boolean raw() {
        int after = word(position, "raw");
        if (after < 0) {
            return false;
        }
        boolean strips = source.startsWith("-", after);
        if (!source.startsWith("%}", strips ? after + 1 : after)) {
            return false;
        }
        int start = strips ? skipSpace(after + 3) : after + 2;
        lineStarting = source.charAt(start - 1) == '\n';
        for (int at = source.indexOf("{%", start); at >= 0; at = source.indexOf("{%", at + 1)) {
            char sign = at + 2 < source.length() ? source.charAt(at + 2) : ' ';
            int end = word(at + (sign == '-' || sign == '+' ? 3 : 2), "endraw");
            if (end < 0) {
                continue;
            }
            char endSign = end < source.length() ? source.charAt(end) : ' ';
            boolean signed = endSign == '-' || endSign == '+';
            if (source.startsWith("%}", signed ? end + 1 : end)) {
                addData(stripped(source.substring(start, at), '%', sign));
                countLines(position, at);
                position = signed ? end + 1 : end;
                endTag(signed ? endSign : ' ', true);
                return true;
            }
        }
        throw failure("Missing end of raw directive");
    }

    /// @return the place after `word` and the white space around it, or -1
    private int word(int from, String word) {
        int start = skipSpace(from);
        if (!source.startsWith(word, start)) {
            return -1;
        }
        return skipSpace(start + word.length());
    }

    private void tag(Kind begin, Kind end) {
        tokens.add(new Token(begin, "", line));
        String close = end == Kind.BLOCK_END ? "%}" : "}}";
        Deque<Character> open = new ArrayDeque<>();
        while (true) {
            int start = position;
            position = skipSpace(position);
            countLines(start, position);
            if (position >= source.length()) {
                throw failure("unexpected end of template");
            }
            char sign = source.charAt(position);
            boolean signed = sign == '-' || (sign == '+' && end == Kind.BLOCK_END);
            if (open.isEmpty() && source.startsWith(close, signed ? position + 1 : position)) {
                tokens.add(new Token(end, "", line));
                position += signed ? 1 : 0;
                endTag(signed ? sign : ' ', end == Kind.BLOCK_END);
                return;
            }
            lexeme(open);
        }
    }

    /// Reads the two characters that end a tag, and the white space that goes with them.
    private void endTag(char sign, boolean trims) {
        int start = position;
        position += 2;
        if (sign == '-') {
            position = skipSpace(position);
        } else if (sign != '+' && trims && source.startsWith("\n", position)) {
            position++;
        }
        countLines(start, position);
        lineStarting = source.charAt(position - 1) == '\n';
    }

    private void lexeme(Deque<Character> open) {
        char first = source.charAt(position);
        if (first == '"' || first == '\'') {
            string(first);
        } else if (first >= '0' && first <= '9') {
            number();
        } else if (first == '_' || Character.isUnicodeIdentifierStart(first)) {
            int start = position;
            while (position < source.length()
                    && (source.charAt(position) == '_' || Character.isUnicodeIdentifierPart(source.charAt(position)))) {
                position++;
            }
            tokens.add(new Token(Kind.NAME, source.substring(start, position), line));
        } else {
            operator(open);
        }
    }

    private void operator(Deque<Character> open) {
        for (String operator : OPERATORS) {
            if (source.startsWith(operator, position)) {
                switch (operator) {
                    case "{" -> open.push('}');
                    case "(" -> open.push(')');
                    case "[" -> open.push(']');
                    case "}", ")", "]" -> {
                        if (open.isEmpty() || open.pop() != operator.charAt(0)) {
                            throw failure("unexpected '" + operator + "'");
                        }
                    }
                    default -> {
                        // Opens and closes nothing.
                    }
                }
                tokens.add(new Token(Kind.OPERATOR, operator, line));
                position += operator.length();
                return;
            }
        }
        throw failure("unexpected char '" + source.charAt(position) + "'");
    }

    private void string(char quote) {
        int start = position + 1;
        int end = start;
        while (end < source.length() && source.charAt(end) != quote) {
            end += source.charAt(end) == '\\' ? 2 : 1;
        }
        if (end >= source.length()) {
            throw failure("unexpected char '" + quote + "'");
        }
        String escaped = source.substring(start, end);
        String text = StringEscapes.decode(escaped);
        if (text == null) {
            throw failure("truncated or unknown escape in string " + quote + escaped + quote);
        }
        tokens.add(new Token(Kind.STRING, text, line));
        countLines(start, end);
        position = end + 1;
    }

    private void number() {
        int start = position;
        boolean real = false;
        char second = start + 1 < source.length() ? Character.toLowerCase(source.charAt(start + 1)) : ' ';
        if (source.charAt(start) == '0' && (second == 'x' || second == 'o' || second == 'b')) {
            position += 2;
            digits(true);
        } else {
            digits(false);
            if (isDigit(position + 1) && source.charAt(position) == '.') {
                real = true;
                position++;
                digits(false);
            }
            int exponent = position;
            if (exponent < source.length() && Character.toLowerCase(source.charAt(exponent)) == 'e') {
                int sign = exponent + 1 < source.length() && "+-".indexOf(source.charAt(exponent + 1)) >= 0 ? 1 : 0;
                if (isDigit(exponent + 1 + sign)) {
                    real = true;
                    position = exponent + 1 + sign;
                    digits(false);
                }
            }
        }
        String digits = source.substring(start, position).replace("_", "");
        tokens.add(new Token(real ? Kind.FLOAT : Kind.INTEGER, digits, line));
    }

    private void digits(boolean letters) {
        while (position < source.length()) {
            char digit = source.charAt(position);
            if (!(isDigit(position) || digit == '_' || (letters && Character.digit(digit, 16) >= 0))) {
                return;
            }
            position++;
        }
    }

    private boolean isDigit(int at) {
        return at < source.length() && source.charAt(at) >= '0' && source.charAt(at) <= '9';
    }

    private int skipSpace(int from) {
        int at = from;
        while (at < source.length() && Characters.isSpace(source.charAt(at))) {
            at++;
        }
        return at;
    }

    private void countLines(int from, int to) {
        for (int at = from; at < to; at++) {
            line += source.charAt(at) == '\n' ? 1 : 0;
        }
    }

    private TemplateException failure(String what) {
        return new TemplateException("chat template, line %d: %s", line, what);
    }
}
