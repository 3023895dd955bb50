package io.penstock.model.checkpoint;

/// A run of bytes in a file.
///
/// @param offset first byte, >= 0
/// @param length >= 1
public record Extent(long offset, long length) {
    public Extent {
        if (offset < 0 || length < 1 || offset > Long.MAX_VALUE - length) {
            throw new IllegalArgumentException("%d bytes at %d".formatted(length, offset));
        }
    }

    /// @return the byte after the last
    public long end() {
        return offset + length;
    }
}
