package io.penstock.model.template;

/// What Python takes for white space and line breaks, both of the basic plane alone.
final class Characters {
    private Characters() {}

    static boolean isSpace(char letter) {
        return Character.isSpaceChar(letter)
                || (letter >= '\t' && letter <= '\r')
                || (letter >= 0x1C && letter <= 0x1F)
                || letter == 0x85;
    }

    /// Ends a line by itself; "\r\n" is one break.
    static boolean isLineBreak(char letter) {
        return (letter >= '\n' && letter <= '\r')
                || (letter >= 0x1C && letter <= 0x1E)
                || letter == 0x85
                || letter == 0x2028
                || letter == 0x2029;
    }

    static String stripRight(String text) {
        int end = text.length();
        while (end > 0 && isSpace(text.charAt(end - 1))) {
            end--;
        }
        return text.substring(0, end);
    }

    static String strip(String text) {
        String stripped = stripRight(text);
        int start = 0;
        while (start < stripped.length() && isSpace(stripped.charAt(start))) {
            start++;
        }
        return stripped.substring(start);
    }

    /// As `repr` decides it: letters, marks, numbers, punctuation, symbols and the space.
    static boolean isPrintable(int codePoint) {
        return switch (Character.getType(codePoint)) {
            case Character.CONTROL,
                    Character.FORMAT,
                    Character.SURROGATE,
                    Character.PRIVATE_USE,
                    Character.UNASSIGNED,
                    Character.LINE_SEPARATOR,
                    Character.PARAGRAPH_SEPARATOR -> false;
            case Character.SPACE_SEPARATOR -> codePoint == ' ';
            default -> true;
        };
    }
}
