package io.penstock.shard.backend.cpu;

import io.penstock.model.quant.MatrixDecoder;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/// Brings a matrix from the order of files (rows one behind another, blocks as in GGUF) into that of
/// [PackedMatrix].
final class MatrixPacking {
    private static final ValueLayout.OfShort SHORT =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfInt INT = PackedMatrix.WORD;
    private static final int ROWS = PackedMatrix.PANEL_ROWS;
    private static final int COLUMNS = PackedMatrix.BLOCK_COLUMNS;
    private static final int HALF = ROWS / 2;
    private static final int NO_BAD_ROW = -1;

    private MatrixPacking() {}

    /// Packs the rows of one panel. Different panels may be packed at the same time.
    ///
    /// @param source holds the rows
    /// @param offset byte at which row 0 of the matrix begins
    /// @param stride bytes from row to row
    /// @return -1, or the first row with a weight (or scale) that is no finite number
    static int pack(PackedMatrix matrix, int panel, MemorySegment source, long offset, long stride) {
        int first = panel * ROWS;
        int count = Math.min(ROWS, matrix.rows() - first);
        for (int row = 0; row < count; row++) {
            long from = offset + (first + row) * stride;
            if (!packRow(matrix, panel * matrix.panelBytes(), row, source, from)) {
                return first + row;
            }
        }
        return NO_BAD_ROW;
    }

    /// Packs the rows of one panel of a matrix of F32, from whatever they are stored as.
    ///
    /// @param firstRow row of the stored matrix that is row 0 of this one
    /// @param firstColumn likewise
    /// @return as [#pack(PackedMatrix, int, MemorySegment, long, long)]
    static int packDecoded(PackedMatrix matrix, int panel, MatrixDecoder source, int firstRow, int firstColumn) {
        int first = panel * ROWS;
        int count = Math.min(ROWS, matrix.rows() - first);
        float[] values = new float[matrix.columns()];
        MemorySegment decoded = MemorySegment.ofArray(values);
        for (int row = 0; row < count; row++) {
            source.decode(firstRow + first + row, firstColumn, values.length, values, 0);
            if (!packRow(matrix, panel * matrix.panelBytes(), row, decoded, 0)) {
                return first + row;
            }
        }
        return NO_BAD_ROW;
    }

    private static boolean packRow(PackedMatrix matrix, long panel, int row, MemorySegment source, long from) {
        Elements format = matrix.elements();
        MemorySegment words = matrix.words();
        boolean finite = true;
        for (int block = 0; block < matrix.blocks(); block++) {
            long scales = panel + (long) block * matrix.blockBytes();
            long elements = scales + Integer.BYTES * (PackedMatrix.scaleWords(format) + (long) row);
            int columns = Math.min(COLUMNS, matrix.columns() - block * COLUMNS);
            long at = from
                    + (long) block
                            * COLUMNS
                            / format.stored().blockElements()
                            * format.stored().blockBytes();
            finite &= switch (format) {
                case F32 -> packF32(words, elements, source, at, columns);
                case F16 -> packHalves(words, elements, source, at, columns, 0x7C00);
                case BF16 -> packHalves(words, elements, source, at, columns, 0x7F80);
                case Q8_0 -> packQ8(words, scales, row, source, at);
                case Q4_0 -> packQ4With8(words, scales, elements, row, source, at);
                case Q4_1 -> packQ4WithMinimum(words, scales, elements, row, source, at);
            };
        }
        return finite;
    }

    private static boolean packF32(MemorySegment words, long elements, MemorySegment source, long at, int columns) {
        boolean finite = true;
        for (int i = 0; i < columns; i++) {
            int bits = source.get(INT, at + (long) Integer.BYTES * i);
            finite &= (bits & 0x7F80_0000) != 0x7F80_0000;
            words.set(INT, elements + word(i), bits);
        }
        return finite;
    }

    private static boolean packHalves(
            MemorySegment words, long elements, MemorySegment source, long at, int columns, int exponent) {
        boolean finite = true;
        for (int i = 0; i < columns; i += 2) {
            int low = half(source, at + (long) Short.BYTES * i);
            int high = i + 1 < columns ? half(source, at + (long) Short.BYTES * (i + 1)) : 0;
            finite &= (low & exponent) != exponent && (high & exponent) != exponent;
            words.set(INT, elements + word(i / 2), low | high << 16);
        }
        return finite;
    }

    private static boolean packQ8(MemorySegment words, long block, int row, MemorySegment source, long at) {
        for (int k = 0; k < COLUMNS; k++) {
            byte level = source.get(ValueLayout.JAVA_BYTE, at + Short.BYTES + k);
            words.set(ValueLayout.JAVA_BYTE, block + PackedMatrix.byteOfQ8(k, row), level);
        }
        return packHalfScale(words, block, row, half(source, at));
    }

    private static boolean packQ4With8(
            MemorySegment words, long scales, long elements, int row, MemorySegment source, long at) {
        packNibbles(words, elements, source, at + Short.BYTES);
        return packHalfScale(words, scales, row, half(source, at));
    }

    private static boolean packQ4WithMinimum(
            MemorySegment words, long scales, long elements, int row, MemorySegment source, long at) {
        packNibbles(words, elements, source, at + 2 * Short.BYTES);
        int scale = half(source, at);
        int minimum = half(source, at + Short.BYTES);
        words.set(INT, scales + (long) Integer.BYTES * row, minimum | scale << 16);
        return finiteHalf(scale) && finiteHalf(minimum);
    }

    // A file's byte j holds columns j and j + 16.
    private static void packNibbles(MemorySegment words, long elements, MemorySegment source, long at) {
        for (int i = 0; i < 4; i++) {
            long from = at + i % 2 * 8L;
            int shift = i / 2 * 4;
            int word = 0;
            for (int nibble = 0; nibble < 8; nibble++) {
                int pair = source.get(ValueLayout.JAVA_BYTE, from + nibble);
                word |= (pair >> shift & 15) << (4 * nibble);
            }
            words.set(INT, elements + word(i), word);
        }
    }

    private static boolean packHalfScale(MemorySegment words, long scales, int row, int scale) {
        long at = scales + (long) Integer.BYTES * (row % HALF) + (row < HALF ? 0 : Short.BYTES);
        words.set(SHORT, at, (short) scale);
        return finiteHalf(scale);
    }

    private static boolean finiteHalf(int bits) {
        return (bits & 0x7C00) != 0x7C00;
    }

    private static int half(MemorySegment source, long at) {
        return Short.toUnsignedInt(source.get(SHORT, at));
    }

    private static long word(int i) {
        return (long) Integer.BYTES * ROWS * i;
    }
}
