package io.penstock.model.answer;

/// Finds the end of a JSON value without reading it: outside of strings, brackets are counted.
final class ValueEnd {
    enum Step {
        WITHIN,
        /// The character was its last one.
        HERE,
        /// The value ended before this character.
        BEFORE
    }

    private boolean string;
    private boolean escaped;
    private int depth;

    void begin(char c) {
        string = c == '"';
        escaped = false;
        depth = c == '{' || c == '[' ? 1 : 0;
    }

    Step accept(char c) {
        if (string) {
            return inString(c);
        }
        if (depth == 0) {
            return c == ',' || c == '}' || PartWriter.isSpace(c) ? Step.BEFORE : Step.WITHIN;
        }
        if (c == '"') {
            string = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            depth--;
            return depth == 0 ? Step.HERE : Step.WITHIN;
        }
        return Step.WITHIN;
    }

    private Step inString(char c) {
        if (escaped) {
            escaped = false;
        } else if (c == '\\') {
            escaped = true;
        } else if (c == '"') {
            string = false;
            return depth == 0 ? Step.HERE : Step.WITHIN;
        }
        return Step.WITHIN;
    }
}
