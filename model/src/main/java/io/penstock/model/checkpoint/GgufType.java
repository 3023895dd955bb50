package io.penstock.model.checkpoint;

import java.util.Optional;

/// Types of GGUF metadata values.
enum GgufType {
    UINT8(0, 1),
    INT8(1, 1),
    UINT16(2, 2),
    INT16(3, 2),
    UINT32(4, 4),
    INT32(5, 4),
    FLOAT32(6, 4),
    BOOL(7, 1),
    STRING(8, 0),
    ARRAY(9, 0),
    UINT64(10, 8),
    INT64(11, 8),
    FLOAT64(12, 8);

    private final int number;
    private final int bytes;

    GgufType(int number, int bytes) {
        this.number = number;
        this.bytes = bytes;
    }

    static Optional<GgufType> of(int number) {
        for (GgufType type : values()) {
            if (type.number == number) {
                return Optional.of(type);
            }
        }
        return Optional.empty();
    }

    /// How the file writes the type.
    int number() {
        return number;
    }

    /// Size of one value; 0 where it varies.
    int bytes() {
        return bytes;
    }
}
