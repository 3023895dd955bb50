package io.penstock.model.checkpoint;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.google.errorprone.annotations.FormatMethod;
import com.google.errorprone.annotations.FormatString;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/// Reads one JSON object as a stream, with nothing forgiven: no repeated key, no byte-order mark, no
/// other encoding than UTF-8, bounded depth, numbers whole and not negative. Whatever is wrong becomes
/// a [CheckpointException] with file, subject and offset.
final class StrictJson implements AutoCloseable {
    private static final int DEEPEST = 16;
    private static final int LONGEST_NAME = 1_024;
    private static final int LONGEST_NUMBER = 32;
    private static final int LONGEST_STRING = 1 << 20;

    static final JsonFactory FACTORY = JsonFactory.builder()
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            // Names come from outside: none is kept for ever.
            .disable(JsonFactory.Feature.INTERN_FIELD_NAMES)
            .disable(JsonFactory.Feature.CANONICALIZE_FIELD_NAMES)
            .streamReadConstraints(StreamReadConstraints.builder()
                    .maxNestingDepth(DEEPEST)
                    .maxNameLength(LONGEST_NAME)
                    .maxNumberLength(LONGEST_NUMBER)
                    .maxStringLength(LONGEST_STRING)
                    .build())
            .build();

    private final JsonParser parser;
    private final Path file;
    private final long start;

    private StrictJson(JsonParser parser, Path file, long start) {
        this.parser = parser;
        this.file = file;
        this.start = start;
    }

    /// @param text the whole JSON text
    /// @param start where in the file it begins, for messages
    static StrictJson over(MemorySegment text, Path file, long start) {
        if (text.byteSize() == 0 || text.get(ValueLayout.JAVA_BYTE, 0) != '{') {
            throw new CheckpointException(file, "JSON", "at offset %d does not start with '{'", start);
        }
        try {
            return new StrictJson(FACTORY.createParser(reader(text)), file, start);
        } catch (IOException e) {
            throw new CheckpointException(file, "JSON", e, "at offset %d: %s", start, e.getMessage());
        }
    }

    private static InputStreamReader reader(MemorySegment text) {
        return new InputStreamReader(
                new SegmentStream(text),
                StandardCharsets.UTF_8
                        .newDecoder()
                        .onMalformedInput(CodingErrorAction.REPORT)
                        .onUnmappableCharacter(CodingErrorAction.REPORT));
    }

    /// Reads an object.
    ///
    /// @param field reads one field's value, given its name
    void object(String subject, Consumer<String> field) {
        expect(subject, JsonToken.START_OBJECT);
        while (next(subject) == JsonToken.FIELD_NAME) {
            field.accept(name(subject));
        }
        if (parser.currentToken() != JsonToken.END_OBJECT) {
            throw bad(subject, "is an object that does not end");
        }
    }

    String string(String subject) {
        expect(subject, JsonToken.VALUE_STRING);
        try {
            return parser.getText();
        } catch (IOException e) {
            throw malformed(subject, e);
        }
    }

    /// An array of whole numbers, none negative.
    List<Long> integers(String subject, int most) {
        expect(subject, JsonToken.START_ARRAY);
        List<Long> numbers = new ArrayList<>();
        while (next(subject) == JsonToken.VALUE_NUMBER_INT) {
            if (numbers.size() == most) {
                throw bad(subject, "an array has more than %d numbers", most);
            }
            long number = number(subject);
            if (number < 0) {
                throw bad(subject, "a number is negative: %d", number);
            }
            numbers.add(number);
        }
        if (parser.currentToken() != JsonToken.END_ARRAY) {
            throw bad(subject, "an array holds %s, whole numbers are expected", parser.currentToken());
        }
        return numbers;
    }

    /// Skips a value of any kind.
    void skip(String subject) {
        next(subject);
        try {
            parser.skipChildren();
        } catch (IOException e) {
            throw malformed(subject, e);
        }
    }

    /// Makes sure that nothing follows but white space.
    void end() {
        JsonToken token = next("JSON");
        if (token != null) {
            throw bad("JSON", "%s follows the end", token);
        }
    }

    private String name(String subject) {
        try {
            return parser.currentName();
        } catch (IOException e) {
            throw malformed(subject, e);
        }
    }

    private long number(String subject) {
        try {
            return parser.getLongValue();
        } catch (IOException e) {
            throw malformed(subject, e);
        }
    }

    private void expect(String subject, JsonToken wanted) {
        JsonToken token = next(subject);
        if (token != wanted) {
            throw bad(subject, "%s where %s is expected", token, wanted);
        }
    }

    private JsonToken next(String subject) {
        try {
            return parser.nextToken();
        } catch (IOException e) {
            throw malformed(subject, e);
        }
    }

    @FormatMethod
    CheckpointException bad(String subject, @FormatString String format, Object... arguments) {
        return new CheckpointException(
                file, subject, "near offset %d: %s", offset(), String.format(java.util.Locale.ROOT, format, arguments));
    }

    private CheckpointException malformed(String subject, IOException cause) {
        return new CheckpointException(
                file, subject, cause, "near offset %d: not well-formed: %s", offset(), cause.getMessage());
    }

    // Characters, not bytes; the same where names are ASCII.
    private long offset() {
        return start + parser.currentLocation().getCharOffset();
    }

    @Override
    public void close() {
        try {
            parser.close();
        } catch (IOException e) {
            throw malformed("JSON", e);
        }
    }

    private static final class SegmentStream extends InputStream {
        private final MemorySegment bytes;
        private long position;

        SegmentStream(MemorySegment bytes) {
            this.bytes = bytes;
        }

        @Override
        public int read() {
            return position == bytes.byteSize() ? -1 : Byte.toUnsignedInt(bytes.get(ValueLayout.JAVA_BYTE, position++));
        }

        @Override
        public int read(byte[] target, int offset, int length) {
            int count = (int) Math.min(length, bytes.byteSize() - position);
            if (count == 0) {
                return length == 0 ? 0 : -1;
            }
            MemorySegment.copy(bytes, ValueLayout.JAVA_BYTE, position, target, offset, count);
            position += count;
            return count;
        }
    }
}
