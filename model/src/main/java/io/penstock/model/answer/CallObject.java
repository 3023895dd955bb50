package io.penstock.model.answer;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;

/// Reads the JSON object that names a function and its arguments, `{"name": "f", "arguments": {…}}`, in any order of
/// keys; `parameters` is the same as `arguments`, and other keys are passed over. Arguments go out as they come once
/// the name is known. They are not checked, only followed to their end.
final class CallObject {
    private static final ObjectMapper JSON = new ObjectMapper().enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);
    private static final int LONGEST_NAME = 256;
    private static final String NO_ARGUMENTS = "{}";

    enum Progress {
        MORE,
        /// The object's closing brace was read.
        DONE,
        /// The character is not consumed: this is no call, or its end is not where it should be.
        FAILED
    }

    private enum Place {
        OBJECT,
        KEY_OR_END,
        KEY,
        COLON,
        VALUE,
        IN_VALUE,
        COMMA_OR_END
    }

    private enum Meaning {
        KEY,
        NAME,
        ARGUMENTS,
        OTHER
    }

    private final PartWriter writer;
    private final boolean needsArguments;
    /// All of it, while it may turn out to be no call.
    private final StringBuilder raw = new StringBuilder();

    private final StringBuilder value = new StringBuilder();
    private final ValueEnd end = new ValueEnd();
    private Place place = Place.OBJECT;
    private Meaning meaning = Meaning.OTHER;
    private boolean first = true;
    private String name;
    private String arguments;
    private boolean begun;
    private boolean streams;

    /// @param before what precedes the object, if it turns out to be no call
    /// @param needsArguments whether an object with a name alone is none
    CallObject(PartWriter writer, CharSequence before, boolean needsArguments) {
        this.writer = writer;
        this.needsArguments = needsArguments;
        raw.append(before);
    }

    Progress accept(char c) {
        if (place == Place.IN_VALUE) {
            return inValue(c);
        }
        if (PartWriter.isSpace(c)) {
            keep(c);
            return Progress.MORE;
        }
        switch (place) {
            case OBJECT -> {
                if (c != '{') {
                    return Progress.FAILED;
                }
                place = Place.KEY_OR_END;
            }
            case KEY_OR_END, KEY -> {
                if (c == '}' && place == Place.KEY_OR_END && first) {
                    return Progress.FAILED;
                }
                if (c != '"') {
                    return Progress.FAILED;
                }
                first = false;
                meaning = Meaning.KEY;
                beginValue(c);
            }
            case COLON -> {
                if (c != ':') {
                    return Progress.FAILED;
                }
                place = Place.VALUE;
            }
            case VALUE -> {
                return beginOf(c);
            }
            case COMMA_OR_END -> {
                if (c == ',') {
                    place = Place.KEY;
                } else if (c == '}') {
                    keep(c);
                    return close();
                } else {
                    return Progress.FAILED;
                }
            }
            case IN_VALUE -> throw new IllegalStateException("handled above");
        }
        keep(c);
        return Progress.MORE;
    }

    private Progress beginOf(char c) {
        if (meaning == Meaning.NAME && (c != '"' || begun)) {
            return Progress.FAILED;
        }
        if (c == ',' || c == '}' || c == ']' || c == ':') {
            return Progress.FAILED;
        }
        keep(c);
        beginValue(c);
        if (meaning == Meaning.ARGUMENTS && c == '{' && name != null && !begun) {
            begin();
            streams = true;
            writer.arguments(c);
        }
        return Progress.MORE;
    }

    private void beginValue(char c) {
        place = Place.IN_VALUE;
        value.setLength(0);
        value.append(c);
        end.begin(c);
    }

    private Progress inValue(char c) {
        ValueEnd.Step step = end.accept(c);
        if (step == ValueEnd.Step.BEFORE) {
            Progress ended = endValue();
            return ended == Progress.FAILED ? ended : accept(c);
        }
        keep(c);
        if (streams) {
            writer.arguments(c);
        } else if (meaning != Meaning.OTHER) {
            value.append(c);
            if (meaning != Meaning.ARGUMENTS && value.length() > LONGEST_NAME) {
                return failedAfter();
            }
        }
        return step == ValueEnd.Step.HERE && endValue() == Progress.FAILED ? failedAfter() : Progress.MORE;
    }

    // The last character was kept already, and who reads on will see it again.
    private Progress failedAfter() {
        if (!begun) {
            raw.setLength(raw.length() - 1);
        }
        return Progress.FAILED;
    }

    private Progress endValue() {
        boolean sound = switch (meaning) {
            case KEY -> endKey();
            case NAME -> endName();
            case ARGUMENTS -> endArguments();
            case OTHER -> true;
        };
        place = place == Place.IN_VALUE ? Place.COMMA_OR_END : place;
        return sound ? Progress.MORE : Progress.FAILED;
    }

    private boolean endKey() {
        String key = text();
        if (key == null) {
            return false;
        }
        meaning = switch (key) {
            case "name" -> Meaning.NAME;
            case "arguments", "parameters" -> Meaning.ARGUMENTS;
            // Text from outside.
            default -> Meaning.OTHER;
        };
        place = Place.COLON;
        return true;
    }

    private boolean endName() {
        name = text();
        return name != null && !name.isEmpty();
    }

    private boolean endArguments() {
        if (begun) {
            streams = false;
            return true;
        }
        return keepArguments();
    }

    /// Of arguments that could not go out as they came: the name follows them, or they are written as a string.
    private boolean keepArguments() {
        char start = value.charAt(0);
        if (start == '{') {
            arguments = value.toString();
        } else if (start == '"') {
            arguments = text();
        } else {
            arguments = value.toString().equals("null") ? NO_ARGUMENTS : null;
        }
        return arguments != null;
    }

    private Progress close() {
        if (name == null || (needsArguments && !begun && arguments == null)) {
            raw.setLength(raw.length() - 1);
            return Progress.FAILED;
        }
        if (!begun) {
            begin();
            writer.arguments(arguments == null || arguments.isBlank() ? NO_ARGUMENTS : arguments);
        }
        writer.endCall(true);
        return Progress.DONE;
    }

    private void begin() {
        begun = true;
        raw.setLength(0);
        writer.beginCall(name);
    }

    private void keep(char c) {
        if (!begun) {
            raw.append(c);
        }
    }

    /// @return the string that the value spells, null if it is none
    private String text() {
        try {
            return JSON.readValue(value.toString(), String.class);
        } catch (JsonProcessingException e) {
            return null;
        }
    }

    /// Gives out what was read of a call that failed or was cut: as content if it had not begun.
    ///
    /// @return whether it had
    boolean abandon() {
        if (begun) {
            writer.endCall(!streams);
        } else {
            writer.content(raw);
        }
        return begun;
    }
}
