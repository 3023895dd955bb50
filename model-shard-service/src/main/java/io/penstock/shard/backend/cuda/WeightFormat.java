package io.penstock.shard.backend.cuda;

/// How a matrix lies in device memory. One format is: a layout (here), how the decode kernel takes it
/// (`Piece` in decode.cu), how products of 9 to 128 vectors do (`Granule` in gemm_widening.cu), how it
/// becomes bf16 for all others, and how it is made from bf16 (weights.cu), and a scalar oracle in
/// `ScalarFormats` (tests). Kernels know a format by its code.
///
/// Rows go by tiles of 16, columns by granules of 128.
public enum WeightFormat {
    /// Row-major.
    BF16(0, 16, 7),
    /// e4m3, row-major; an f32 scale for each row. Scales of a tensor are as many equal ones.
    FP8_ROWS(1, 8, 14),
    /// e4m3, row-major; an f32 scale for blocks of 128 by 128, kept for each granule of 8 rows, two
    /// a tile.
    FP8_BLOCKS(2, 8, 14),
    /// Tiles by granules in the order in which the decode kernel's lanes take them: 16 x 128 values
    /// of 4 bits less 8, then 16 f16 scales.
    INT4(3, 4, 28),
    /// The same, with a zero point (a byte) of each row and granule behind the scales.
    INT4_ZEROS(4, 4, 28);

    static final int TILE = 16;
    static final int GRANULE = 128;
    // 14 blocks of 128 bytes a row; with room for scales, a multiple of what boxes are aligned to.
    private static final int ROWS_BYTES = TILE * 14 * TensorMap.BLOCK_BYTES;
    private static final int ROWS_SCALES_BYTES = 1_024;

    private final int code;
    private final int bits;
    private final int slotGranules;

    /// @param slotGranules that a slot of the decode kernel's ring takes of a tile
    WeightFormat(int code, int bits, int slotGranules) {
        this.code = code;
        this.bits = bits;
        this.slotGranules = slotGranules;
    }

    /// Its number in the kernels.
    int code() {
        return code;
    }

    /// Whether a matrix of so many columns can have this format.
    boolean serves(int columns) {
        return this == BF16 || columns % GRANULE == 0;
    }

    /// Slots of the decode kernel's ring that a tile of so many columns is cut into.
    int cuts(int columns) {
        return (granules(columns) + slotGranules - 1) / slotGranules;
    }

    /// Columns of two of those slots, at most, where blocks part the matrix by columns.
    int columnsOfTwo(int columns) {
        int cuts = cuts(columns);
        return Math.min(columns, 2 * GRANULE * ((granules(columns) + cuts - 1) / cuts));
    }

    private static int granules(int columns) {
        return (columns + GRANULE - 1) / GRANULE;
    }

    /// Whether rows lie as they are, so that the copy engine can cut tiles out of them.
    boolean hasRows() {
        return switch (this) {
            case BF16, FP8_ROWS, FP8_BLOCKS -> true;
            case INT4, INT4_ZEROS -> false;
        };
    }

    /// Granules of a tile's widest slot, of so many; the others have one less.
    static int widestSlot(int columns, int cuts) {
        return granules(columns) / cuts + 1;
    }

    int slotBytes() {
        return switch (this) {
            case BF16 -> ROWS_BYTES;
            case FP8_ROWS, FP8_BLOCKS -> ROWS_BYTES + ROWS_SCALES_BYTES;
            case INT4, INT4_ZEROS -> granuleBytes() * slotGranules;
        };
    }

    /// Of 16 rows by 128 columns with their scales, where those lie together.
    int granuleBytes() {
        return this == INT4 ? 1_056 : 1_072;
    }

    /// Of the matrix without [#scaleBytes].
    long bytes(int rows, int columns) {
        return switch (this) {
            case BF16, FP8_ROWS, FP8_BLOCKS -> (long) rows * columns * bits / 8;
            case INT4, INT4_ZEROS -> tiles(rows) * (columns / GRANULE) * granuleBytes();
        };
    }

    /// Of what lies apart from the matrix.
    long scaleBytes(int rows, int columns) {
        return switch (this) {
            case FP8_ROWS -> 4 * TILE * tiles(rows);
            case FP8_BLOCKS -> 8 * tiles(rows) * ((columns / GRANULE + 1) / 2 * 2L);
            case BF16, INT4, INT4_ZEROS -> 0;
        };
    }

    private static long tiles(int rows) {
        return ((long) rows + TILE - 1) / TILE;
    }
}
