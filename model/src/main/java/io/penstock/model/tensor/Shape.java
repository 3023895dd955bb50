package io.penstock.model.tensor;

import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;

/// Extents of a tensor, outermost first (row-major): a matrix of `rows x columns` is `[rows, columns]`, and a row is
/// contiguous. GGUF writes extents innermost first; its reader turns them round.
///
/// @param extents each >= 0, their product within 63 bits; empty for a scalar
public record Shape(List<Long> extents) {
    public Shape {
        extents = List.copyOf(extents);
        long count = 1;
        for (long extent : extents) {
            if (extent < 0) {
                throw new IllegalArgumentException("negative extent in " + extents);
            }
            try {
                count = Math.multiplyExact(count, extent);
            } catch (ArithmeticException e) {
                // Its own message is lost once the check is compiled to a machine instruction.
                throw new IllegalArgumentException("more elements than 63 bits count in " + extents, e);
            }
        }
    }

    public static Shape of(long... extents) {
        return new Shape(Arrays.stream(extents).boxed().toList());
    }

    /// @return product of the extents; the constructor made sure that it fits
    public long elementCount() {
        return extents.stream().reduce(1L, Math::multiplyExact);
    }

    public int rank() {
        return extents.size();
    }

    public long extent(int axis) {
        return extents.get(axis);
    }

    @Override
    public String toString() {
        return extents.stream().map(String::valueOf).collect(Collectors.joining("x", "[", "]"));
    }
}
