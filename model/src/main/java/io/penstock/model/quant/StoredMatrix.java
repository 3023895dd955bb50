package io.penstock.model.quant;

import io.penstock.model.quant.WeightFormat.Grouped;
import io.penstock.model.quant.WeightFormat.Packing;
import io.penstock.model.quant.WeightFormat.Scaled;
import io.penstock.model.quant.WeightFormat.Tabled;
import io.penstock.model.quant.WeightFormat.Zeros;
import io.penstock.model.tensor.DType;
import io.penstock.model.tensor.Shape;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/// A matrix in a [WeightFormat], and what its tensors must look like.
///
/// @param rows outputs
/// @param columns inputs
public record StoredMatrix(WeightFormat format, int rows, int columns) {
    private static final Set<DType> FLOATS = Set.of(DType.F32, DType.F16, DType.BF16);
    private static final Set<DType> WORDS = Set.of(DType.I32);
    /// Real ones have some 200 bytes.
    private static final long LONGEST_STATE = 4_096;

    /// @param shapes any of them; where there are several they hold the same numbers
    public record Expected(Set<DType> dtypes, List<Shape> shapes) {
        static Expected of(Set<DType> dtypes, long... extents) {
            return new Expected(dtypes, List.of(Shape.of(extents)));
        }

        public boolean fits(DType dtype, Shape shape) {
            return dtypes.contains(dtype)
                    && (shapes.contains(shape)
                            || (shapes.isEmpty() && shape.rank() == 1 && shape.extent(0) <= LONGEST_STATE));
        }

        @Override
        public String toString() {
            return shapes + " of " + dtypes;
        }
    }

    public StoredMatrix {
        if (format instanceof Grouped grouped) {
            int packed = grouped.packing() == Packing.INPUTS_DOWN ? columns : rows;
            boolean whole = switch (grouped.packing()) {
                case INPUTS_DOWN -> columns % grouped.perWord() == 0 && rows % grouped.perWord() == 0;
                case OUTPUTS_ACROSS -> rows % grouped.perWord() == 0;
                case INPUTS_ACROSS -> true;
            };
            if (!whole) {
                throw new IllegalArgumentException(
                        "%d elements do not fill words of %d".formatted(packed, grouped.perWord()));
            }
        }
        if (format instanceof Tabled && (long) rows * columns % 2 != 0) {
            throw new IllegalArgumentException("%d x %d elements do not fill bytes of 2".formatted(rows, columns));
        }
    }

    public Expected payload() {
        return switch (format) {
            case Scaled scaled -> Expected.of(Set.of(scaled.elements()), rows, columns);
            case Grouped grouped -> {
                int per = grouped.perWord();
                yield switch (grouped.packing()) {
                    case INPUTS_DOWN -> Expected.of(WORDS, columns / per, rows);
                    case OUTPUTS_ACROSS -> Expected.of(WORDS, columns, rows / per);
                    case INPUTS_ACROSS -> Expected.of(WORDS, rows, Math.ceilDiv(columns, per));
                };
            }
            case Tabled tabled -> Expected.of(Set.of(DType.U8), (long) rows * columns / 2, 1);
        };
    }

    /// What must stand beside the payload.
    public Map<Companion, Expected> companions() {
        Map<Companion, Expected> companions = new EnumMap<>(Companion.class);
        switch (format) {
            case Scaled scaled -> companions.put(Companion.SCALES, scales(scaled));
            case Grouped grouped -> {
                int per = grouped.perWord();
                int groups = grouped.groups(columns);
                boolean across = grouped.packing() == Packing.INPUTS_ACROSS;
                companions.put(
                        Companion.SCALES,
                        across ? Expected.of(FLOATS, rows, groups) : Expected.of(FLOATS, groups, rows));
                if (grouped.zeros() != Zeros.MIDDLE) {
                    companions.put(
                            Companion.ZEROS,
                            across
                                    ? Expected.of(WORDS, Math.ceilDiv(rows, per), groups)
                                    : Expected.of(WORDS, groups, rows / per));
                }
                if (grouped.reordered()) {
                    companions.put(Companion.GROUPS, Expected.of(WORDS, columns));
                }
            }
            case Tabled tabled -> {
                long blocks = Math.ceilDiv((long) rows * columns, (long) tabled.blockSize());
                companions.put(Companion.CODES, Expected.of(Set.of(DType.F32), 16));
                if (tabled.nested()) {
                    companions.put(Companion.SCALES, Expected.of(Set.of(DType.U8), blocks));
                    companions.put(Companion.NESTED_SCALES, Expected.of(Set.of(DType.F32), Math.ceilDiv(blocks, (long)
                            Tabled.NESTED_BLOCK)));
                    companions.put(Companion.NESTED_CODES, Expected.of(Set.of(DType.F32), 256));
                    companions.put(Companion.STATE, new Expected(Set.of(DType.U8), List.of()));
                } else {
                    companions.put(Companion.SCALES, Expected.of(Set.of(DType.F32), blocks));
                }
            }
        }
        return companions;
    }

    private Expected scales(Scaled scaled) {
        int down = scaled.tilesDown(rows);
        int across = scaled.tilesAcross(columns);
        Shape full = Shape.of(down, across);
        if (across > 1) {
            return new Expected(FLOATS, List.of(full));
        }
        return new Expected(
                FLOATS, down > 1 ? List.of(full, Shape.of(down)) : List.of(full, Shape.of(1), new Shape(List.of())));
    }
}
