package io.penstock.shard.backend.cpu;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/// A matrix `[rows, columns]` in the order that the kernels read it. The elements keep their stored
/// format, so that a step reads no more bytes than the file has.
///
/// Rows go in panels of 64, columns in blocks of 32, both padded with zeros. A panel is its blocks one
/// behind another; a block is little-endian 32-bit words, word `i * 64 + r` of its elements belonging
/// to row `r` of the panel:
///
/// | format | scale words before the elements | an element word holds |
/// | --- | --- | --- |
/// | F32 | | column i |
/// | F16, BF16 | | columns 2i (low half) and 2i + 1 |
/// | Q8_0 | 32: scales of rows r (low half) and r + 32 | (bytes, not words: byte `k * 64 + r` is column k of row r) |
/// | Q4_0 | 32, as Q8_0 | columns 8i to 8i + 7, lowest nibble first |
/// | Q4_1 | 64: minimum (low half) and scale of row r | as Q4_0 |
public final class PackedMatrix {
    public static final int PANEL_ROWS = 64;
    public static final int BLOCK_COLUMNS = 32;

    /// Of every word.
    static final ValueLayout.OfInt WORD = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final Elements elements;
    private final int rows;
    private final int columns;
    private final int blocks;
    private final MemorySegment words;

    /// All zeros; [MatrixPacking] fills it.
    PackedMatrix(Elements elements, int rows, int columns, SegmentAllocator memory) {
        this.elements = elements;
        this.rows = rows;
        this.columns = columns;
        this.blocks = Math.ceilDiv(columns, BLOCK_COLUMNS);
        this.words = memory.allocate(Math.max(1, bytes(elements, rows, columns)), 64);
    }

    /// What the packed words take.
    static long bytes(Elements elements, int rows, int columns) {
        long blocks = Math.ceilDiv(columns, BLOCK_COLUMNS);
        return Math.multiplyExact(blocks * blockBytes(elements), (long) Math.ceilDiv(rows, PANEL_ROWS));
    }

    public static int scaleWords(Elements elements) {
        return switch (elements) {
            case F32, F16, BF16 -> 0;
            case Q8_0, Q4_0 -> PANEL_ROWS / 2;
            case Q4_1 -> PANEL_ROWS;
        };
    }

    /// Columns that share a word.
    public static int columnsPerWord(Elements elements) {
        return switch (elements) {
            case F32 -> 1;
            case F16, BF16 -> 2;
            case Q8_0 -> 4;
            case Q4_0, Q4_1 -> 8;
        };
    }

    public static int blockBytes(Elements elements) {
        return Integer.BYTES * (scaleWords(elements) + BLOCK_COLUMNS / columnsPerWord(elements) * PANEL_ROWS);
    }

    public Elements elements() {
        return elements;
    }

    public int rows() {
        return rows;
    }

    public int columns() {
        return columns;
    }

    public int panels() {
        return Math.ceilDiv(rows, PANEL_ROWS);
    }

    public int blocks() {
        return blocks;
    }

    /// Rows with their padding: what an output vector must have room for.
    public int paddedRows() {
        return panels() * PANEL_ROWS;
    }

    public int blockBytes() {
        return blockBytes(elements);
    }

    public long panelBytes() {
        return (long) blocks * blockBytes();
    }

    public MemorySegment words() {
        return words;
    }

    /// Unpacks one row, as its format's definition has it.
    public void row(int row, float[] target, int offset) {
        long panel = row / PANEL_ROWS * panelBytes();
        for (int column = 0; column < columns; column++) {
            target[offset + column] = element(panel, row % PANEL_ROWS, column);
        }
    }

    private float element(long panel, int row, int column) {
        int block = column / BLOCK_COLUMNS;
        float scale = scale(panel, block, row);
        float level = level(panel, row, column);
        return switch (elements) {
            case F32, F16, BF16 -> level;
            case Q8_0 -> scale * level;
            case Q4_0 -> scale * (level - 8);
            case Q4_1 -> Math.fma(scale, level, minimum(panel, block, row));
        };
    }

    /// What is multiplied with the block's scale; the weight itself where there are no scales.
    ///
    /// @param panel byte at which the row's panel begins
    /// @param row within the panel
    float level(long panel, int row, int column) {
        long block = panel + (long) (column / BLOCK_COLUMNS) * blockBytes();
        int inBlock = column % BLOCK_COLUMNS;
        if (elements == Elements.Q8_0) {
            return words.get(ValueLayout.JAVA_BYTE, block + byteOfQ8(inBlock, row));
        }
        int perWord = columnsPerWord(elements);
        long index = scaleWords(elements) + (long) (inBlock / perWord) * PANEL_ROWS + row;
        int word = words.get(WORD, block + Integer.BYTES * index);
        int shift = inBlock % perWord * (Integer.SIZE / perWord);
        return switch (elements) {
            case F32 -> Float.intBitsToFloat(word);
            case F16 -> Float.float16ToFloat((short) (word >> shift));
            case BF16 -> Float.intBitsToFloat(word >> shift << 16);
            case Q8_0, Q4_0, Q4_1 -> word >> shift & 15;
        };
    }

    /// Where in a block of Q8_0 a weight is.
    static long byteOfQ8(int column, int row) {
        return (long) scaleWords(Elements.Q8_0) * Integer.BYTES + (long) column * PANEL_ROWS + row;
    }

    float scale(long panel, int block, int row) {
        long at = panel + (long) block * blockBytes();
        return switch (elements) {
            case F32, F16, BF16 -> 1;
            case Q8_0, Q4_0 -> halfScale(at, row);
            case Q4_1 -> Float.float16ToFloat((short) (words.get(WORD, at + (long) Integer.BYTES * row) >> 16));
        };
    }

    /// 0 where there is none.
    float minimum(long panel, int block, int row) {
        long at = panel + (long) block * blockBytes();
        return switch (elements) {
            case F32, F16, BF16, Q8_0 -> 0;
            case Q4_0 -> -8 * halfScale(at, row);
            case Q4_1 -> Float.float16ToFloat((short) words.get(WORD, at + (long) Integer.BYTES * row));
        };
    }

    private float halfScale(long block, int row) {
        int half = PANEL_ROWS / 2;
        int scales = words.get(WORD, block + (long) Integer.BYTES * (row % half));
        return Float.float16ToFloat((short) (row < half ? scales : scales >> 16));
    }
}
