package io.penstock.shard.backend.cpu;

import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import jdk.incubator.vector.ByteVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/// Turns packed blocks into floats: levels `[columns, 64]`, and of each block 64 scales and 64 minima.
/// Rows are lanes, so all of it is lane-wise. Written out for the reason that [VectorDecode] gives.
final class VectorUnpacking {
    static final int HALF = PackedMatrix.PANEL_ROWS / 2;

    /// A finite f16 number in the upper half of a word becomes f32 by moving its bits to where f32 has
    /// them (shift right by 3, keep these) and making good the exponent's bias by a product, which is
    /// exact, for subnormal numbers too.
    static final int HALF_BITS = 0x8FFF_E000;

    static final float HALF_BIAS = 0x1p112f;
    /// A word of each row.
    static final long ROW_BYTES = (long) PackedMatrix.PANEL_ROWS * Float.BYTES;

    private static final VectorSpecies<Float> F = VectorWidth.FLOATS;
    private static final VectorSpecies<Integer> I = VectorWidth.INTS;
    private static final ByteOrder LITTLE = ByteOrder.LITTLE_ENDIAN;
    private static final int L = F.length();
    private static final int ROWS = PackedMatrix.PANEL_ROWS;
    private static final int COLUMNS = PackedMatrix.BLOCK_COLUMNS;

    private VectorUnpacking() {}

    /// @param at byte of the first block
    /// @param target receives `[blocks, 2, 64]` from `to`: scales, and minima where there are any
    static void scales(PackedMatrix matrix, long at, int blocks, float[] target, int to) {
        MemorySegment words = matrix.words();
        int blockBytes = matrix.blockBytes();
        for (int block = 0; block < blocks; block++) {
            switch (matrix.elements()) {
                case F32, F16, BF16 -> ones(target, to);
                case Q8_0 -> halfScales(words, at, target, to);
                case Q4_0 -> {
                    halfScales(words, at, target, to);
                    minimaOfSignedLevels(target, to);
                }
                case Q4_1 -> scalesAndMinima(words, at, target, to);
            }
            at += blockBytes;
            to += 2 * ROWS;
        }
    }

    private static void ones(float[] target, int to) {
        for (int row = 0; row < ROWS; row += L) {
            FloatVector.broadcast(F, 1f).intoArray(target, to + row);
        }
    }

    private static void halfScales(MemorySegment words, long from, float[] target, int to) {
        for (int row = 0; row < HALF; row += L) {
            IntVector both = IntVector.fromMemorySegment(I, words, from + (long) row * Integer.BYTES, LITTLE);
            both.lanewise(VectorOperators.LSHL, 16)
                    .lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS)
                    .intoArray(target, to + row);
            both.lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS)
                    .intoArray(target, to + HALF + row);
        }
    }

    private static void minimaOfSignedLevels(float[] target, int to) {
        for (int row = 0; row < ROWS; row += L) {
            FloatVector.fromArray(F, target, to + row).mul(-8).intoArray(target, to + ROWS + row);
        }
    }

    private static void scalesAndMinima(MemorySegment words, long from, float[] target, int to) {
        for (int row = 0; row < ROWS; row += L) {
            IntVector both = IntVector.fromMemorySegment(I, words, from + (long) row * Integer.BYTES, LITTLE);
            both.lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS)
                    .intoArray(target, to + row);
            both.lanewise(VectorOperators.LSHL, 16)
                    .lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS)
                    .intoArray(target, to + ROWS + row);
        }
    }

    /// @param at byte of the first block
    /// @param target receives `[blocks * 32, 64]` from byte 0
    static void levels(PackedMatrix matrix, long at, int blocks, float[] target) {
        MemorySegment words = matrix.words();
        int blockBytes = matrix.blockBytes();
        long from = at + (long) PackedMatrix.scaleWords(matrix.elements()) * Integer.BYTES;
        int to = 0;
        for (int block = 0; block < blocks; block++) {
            switch (matrix.elements()) {
                case F32 -> floats(words, from, target, to);
                case F16 -> halves(words, from, target, to);
                case BF16 -> bfloats(words, from, target, to);
                case Q8_0 -> bytes(words, from, target, to);
                case Q4_0, Q4_1 -> nibbles(words, from, target, to);
            }
            from += blockBytes;
            to += COLUMNS * ROWS;
        }
    }

    // All read words in the order that they lie in.

    private static void floats(MemorySegment words, long from, float[] target, int to) {
        for (int i = 0; i < COLUMNS * ROWS; i += L) {
            FloatVector.fromMemorySegment(F, words, from + (long) i * Float.BYTES, LITTLE)
                    .intoArray(target, to + i);
        }
    }

    private static void halves(MemorySegment words, long from, float[] target, int to) {
        for (int word = 0; word < COLUMNS / 2 * ROWS; word += L) {
            int first = to + word / ROWS * 2 * ROWS + word % ROWS;
            IntVector pair = IntVector.fromMemorySegment(I, words, from + (long) word * Integer.BYTES, LITTLE);
            pair.lanewise(VectorOperators.LSHL, 16)
                    .lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS)
                    .intoArray(target, first);
            pair.lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS)
                    .intoArray(target, first + ROWS);
        }
    }

    private static void bfloats(MemorySegment words, long from, float[] target, int to) {
        for (int word = 0; word < COLUMNS / 2 * ROWS; word += L) {
            int first = to + word / ROWS * 2 * ROWS + word % ROWS;
            IntVector pair = IntVector.fromMemorySegment(I, words, from + (long) word * Integer.BYTES, LITTLE);
            pair.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats().intoArray(target, first);
            pair.and(0xFFFF_0000).reinterpretAsFloats().intoArray(target, first + ROWS);
        }
    }

    private static void bytes(MemorySegment words, long from, float[] target, int to) {
        for (int i = 0; i < COLUMNS * ROWS; i += VectorWidth.BYTES.length()) {
            ByteVector levels = ByteVector.fromMemorySegment(VectorWidth.BYTES, words, from + i, LITTLE);
            ((FloatVector) levels.convertShape(VectorOperators.B2F, F, 0)).intoArray(target, to + i);
            if (L < VectorWidth.BYTES.length()) {
                ((FloatVector) levels.convertShape(VectorOperators.B2F, F, 1)).intoArray(target, to + i + L);
            }
        }
    }

    private static void nibbles(MemorySegment words, long from, float[] target, int to) {
        for (int word = 0; word < COLUMNS / 8 * ROWS; word += L) {
            int first = to + word / ROWS * 8 * ROWS + word % ROWS;
            IntVector eight = IntVector.fromMemorySegment(I, words, from + (long) word * Integer.BYTES, LITTLE);
            for (int k = 0; k < 8; k++) {
                ((FloatVector) eight.and(15).convert(VectorOperators.I2F, 0)).intoArray(target, first + k * ROWS);
                eight = eight.lanewise(VectorOperators.LSHR, 4);
            }
        }
    }
}
