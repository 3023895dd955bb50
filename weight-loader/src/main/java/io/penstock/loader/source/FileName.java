package io.penstock.loader.source;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.nio.charset.StandardCharsets;
import java.text.Normalizer;

/// The name of a file within a checkpoint, checked so that it can be made a path below a folder of ours.
///
/// @param value relative, `/`-separated; no empty, `.` or `..` segment, no backslash, colon, control or
///     format
///     character, none that compatibility normalisation turns into another one
public record FileName(String value) implements Comparable<FileName> {
    private static final int MAX_LENGTH = 1024;
    private static final int MAX_SEGMENT_BYTES = 255;

    /// @throws PenstockException BAD_INPUT when it could reach out of its folder or cannot be a file's name
    public FileName {
        if (value.isEmpty() || value.length() > MAX_LENGTH) {
            throw refused(value, "it has " + value.length() + " characters, of 1 to " + MAX_LENGTH);
        }
        value.codePoints().forEach(point -> {
            switch (Character.getType(point)) {
                case Character.CONTROL,
                        Character.FORMAT,
                        Character.SURROGATE,
                        Character.PRIVATE_USE,
                        Character.UNASSIGNED,
                        Character.LINE_SEPARATOR,
                        Character.PARAGRAPH_SEPARATOR -> throw refused(value, "character " + point);
                default -> {
                    if (point == '\\' || point == ':') {
                        throw refused(value, "character '" + Character.toString(point) + "'");
                    }
                }
            }
        });
        if (!Normalizer.isNormalized(value, Normalizer.Form.NFKC)) {
            throw refused(value, "it holds look-alikes of other characters");
        }
        for (String segment : value.split("/", -1)) {
            if (segment.isEmpty() || segment.equals(".") || segment.equals("..")) {
                throw refused(value, "segment '" + segment + "'");
            }
            if (segment.getBytes(StandardCharsets.UTF_8).length > MAX_SEGMENT_BYTES) {
                throw refused(value, "a segment is longer than " + MAX_SEGMENT_BYTES + " bytes");
            }
        }
    }

    private static PenstockException refused(String value, String reason) {
        String shown = value.length() > 100 ? value.substring(0, 100) + "..." : value;
        return new PenstockException(
                ErrorCategory.BAD_INPUT,
                "file name '%s' is refused: %s",
                shown.replaceAll("[^\\x20-\\x7e]", "?"),
                reason);
    }

    @Override
    public int compareTo(FileName other) {
        return value.compareTo(other.value);
    }

    @Override
    public String toString() {
        return value;
    }
}
