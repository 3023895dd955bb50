package io.penstock.shard.backend.cuda;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.quant.GroupedElements;
import io.penstock.model.quant.MatrixDecoder;
import io.penstock.model.quant.ScaledElements;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;

/// Quantised matrices of a checkpoint in the order in which kernels take them: the same integers, the
/// same scales. Plain arithmetic on the host, tile by tile, so that tiles can be packed by several
/// threads.
///
/// @param sources whose rows, together, are the matrix'
record StoredPacking(WeightFormat format, int rows, int columns, List<Source> sources) {
    private static final int TILE = WeightFormat.TILE;
    private static final int GRANULE = WeightFormat.GRANULE;
    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED;
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED;
    private static final int HALF_TILE_BYTES = 512;
    private static final int SCALES_AT = 1_024;
    private static final int ZEROS_AT = 1_056;

    /// How a source's rows lie among the matrix'.
    enum Rows {
        /// One behind another.
        RUN,
        /// The first 8 of each 16: a gate's.
        FIRST_EIGHT,
        /// The others: an up projection's.
        SECOND_EIGHT
    }

    /// A part of a stored matrix.
    ///
    /// @param name of its tensor
    /// @param row of it, the first
    /// @param column of it, the first
    /// @param count rows
    /// @param at row of the packed matrix, the first; 0 where rows do not lie in a run
    record Source(String name, MatrixDecoder matrix, int row, int column, int count, int at, Rows order) {
        /// @return the stored matrix' row, or -1 where the packed matrix' row is another source's
        int rowOf(int packed) {
            int index = switch (order) {
                case RUN -> packed - at;
                case FIRST_EIGHT -> packed % TILE < TILE / 2 ? packed / TILE * (TILE / 2) + packed % TILE : -1;
                case SECOND_EIGHT ->
                    packed % TILE < TILE / 2 ? -1 : packed / TILE * (TILE / 2) + packed % TILE - TILE / 2;
            };
            return index < 0 || index >= count ? -1 : row + index;
        }
    }

    int tiles() {
        return Math.ceilDiv(rows, TILE);
    }

    /// Bytes of a tile without what lies apart.
    int tileBytes() {
        return switch (format) {
            case BF16 -> throw new IllegalArgumentException("bf16 is not packed");
            case FP8_ROWS, FP8_BLOCKS -> TILE * columns;
            case INT4, INT4_ZEROS -> Math.toIntExact(format.bytes(TILE, columns));
        };
    }

    /// Rows of a tile that are there: the last tile may have less.
    private int rowsOf(int tile) {
        return Math.min(TILE, rows - tile * TILE);
    }

    /// @return bytes written
    int pack(int tile, MemorySegment target, long start) {
        return switch (format) {
            case BF16 -> throw new IllegalArgumentException("bf16 is not packed");
            case FP8_ROWS, FP8_BLOCKS -> {
                for (int r = 0; r < rowsOf(tile); r++) {
                    Source source = source(tile * TILE + r);
                    int row = source.rowOf(tile * TILE + r);
                    long at = start + (long) r * columns;
                    elements(source).copy(row, source.column, columns, target, at);
                    refuseNoNumbers(target.asSlice(at, columns), source, row);
                }
                yield rowsOf(tile) * columns;
            }
            case INT4, INT4_ZEROS -> {
                for (int granule = 0; granule < columns / GRANULE; granule++) {
                    int bytes = tileBytes() / (columns / GRANULE);
                    MemorySegment to = target.asSlice(start + (long) granule * bytes, bytes);
                    // Rows past the end: nothing of size nothing.
                    to.fill((byte) 0);
                    for (int r = 0; r < rowsOf(tile); r++) {
                        packRow(tile * TILE + r, granule * GRANULE, to);
                    }
                }
                yield tileBytes();
            }
        };
    }

    /// 128 integers of a row: the lane 4 g + q of the decode kernel has 4 words of row g and 4 of row
    /// g + 8; word i holds columns 32 i + 8 j + 2 q and the one behind, j from 0 to 3, in nibbles j
    /// and j + 4.
    private void packRow(int row, int column, MemorySegment to) {
        Source source = source(row);
        GroupedElements elements = (GroupedElements) source.matrix;
        int stored = source.rowOf(row);
        int first = source.column + column;
        int inTile = row % TILE;
        for (int q = 0; q < 4; q++) {
            for (int i = 0; i < 4; i++) {
                int word = 0;
                for (int j = 0; j < 4; j++) {
                    int at = first + 32 * i + 8 * j + 2 * q;
                    word |= elements.element(stored, at) << (4 * j);
                    word |= elements.element(stored, at + 1) << (4 * j + 16);
                }
                long place = inTile / 8L * HALF_TILE_BYTES + (inTile % 8 * 4L + q) * 16 + 4L * i;
                to.set(INT, place, word);
            }
        }
        short scale = Float.floatToFloat16(elements.scale(stored, first));
        finite(Float.float16ToFloat(scale), source, stored);
        to.set(SHORT, SCALES_AT + 2L * inTile, scale);
        if (format == WeightFormat.INT4_ZEROS) {
            to.set(JAVA_BYTE, ZEROS_AT + inTile, (byte) elements.zero(stored, first));
        }
    }

    /// What lies apart from the matrix, of [WeightFormat#scaleBytes].
    ///
    /// @return floats, in the device's order; none where all is in the tiles
    float[] scales() {
        float[] scales = new float[Math.toIntExact(format.scaleBytes(rows, columns) / Float.BYTES)];
        if (format == WeightFormat.FP8_ROWS) {
            for (int row = 0; row < rows; row++) {
                Source source = source(row);
                int stored = source.rowOf(row);
                scales[row] = finite(elements(source).scale(stored, source.column), source, stored);
            }
        } else if (format == WeightFormat.FP8_BLOCKS) {
            int granules = columns / GRANULE;
            int padded = (granules + 1) / 2 * 2;
            for (int row = 0; row < rows; row += TILE / 2) {
                Source source = source(row);
                int stored = source.rowOf(row);
                for (int granule = 0; granule < granules; granule++) {
                    scales[2 * (row / TILE * padded + granule) + row / 8 % 2] =
                            finite(elements(source).scale(stored, source.column + granule * GRANULE), source, stored);
                }
            }
        }
        return scales;
    }

    /// One weight that is none makes all logits none.
    private static void refuseNoNumbers(MemorySegment codes, Source source, int row) {
        for (long i = 0; i < codes.byteSize(); i++) {
            if ((codes.get(JAVA_BYTE, i) & 0x7f) == 0x7f) {
                finite(Float.NaN, source, row);
            }
        }
    }

    private static float finite(float value, Source source, int row) {
        if (!Float.isFinite(value)) {
            throw new PenstockException(
                    ErrorCategory.CORRUPT,
                    "%s: row %d holds a weight or scale that is no finite number on this device",
                    source.name,
                    row);
        }
        return value;
    }

    private Source source(int row) {
        for (Source source : sources) {
            if (source.rowOf(row) >= 0) {
                return source;
            }
        }
        throw new IllegalArgumentException("row %d of %d is no source's".formatted(row, rows));
    }

    private static ScaledElements elements(Source source) {
        return (ScaledElements) source.matrix;
    }
}
