package io.penstock.loader.transfer;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.util.List;

/// A run of bytes of a file.
///
/// @param offset first byte, >= 0
/// @param length count of bytes, > 0
public record ByteRange(long offset, long length) {
    public ByteRange {
        if (offset < 0 || length <= 0 || offset > Long.MAX_VALUE - length) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT, "range of %d bytes at %d: both must be in bounds", length, offset);
        }
    }

    /// @return the first byte after it
    public long end() {
        return offset + length;
    }

    /// @param ranges of one file; none stands for the whole of it
    /// @param size of the file
    /// @return ranges that are not empty, ascending and within the file
    /// @throws PenstockException BAD_INPUT when they overlap, descend, or reach beyond the end
    public static List<ByteRange> checked(String name, List<ByteRange> ranges, long size) {
        if (ranges.isEmpty()) {
            return size == 0 ? List.of() : List.of(new ByteRange(0, size));
        }
        long end = 0;
        for (ByteRange range : ranges) {
            if (range.offset() < end) {
                throw new PenstockException(
                        ErrorCategory.BAD_INPUT,
                        "%s: range at %d begins before the end of the one before it, %d",
                        name,
                        range.offset(),
                        end);
            }
            end = range.end();
        }
        if (end > size) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT, "%s: ranges reach to %d, the file has %d bytes", name, end, size);
        }
        return List.copyOf(ranges);
    }
}
