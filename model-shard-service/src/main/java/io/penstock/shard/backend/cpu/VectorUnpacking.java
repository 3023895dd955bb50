package io.penstock.shard.backend.cpu;

import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/// Turns packed blocks into floats `[columns, 64]`. Rows are lanes, so all of it is lane-wise. Written
/// out for the reason that [VectorDecode] gives.
final class VectorUnpacking {
    static final int HALF = PackedMatrix.PANEL_ROWS / 2;

    /// A finite f16 number in the upper half of a word becomes f32 by moving its bits to where f32 has
    /// them (shift right by 3, keep these) and making good the exponent's bias by a product, which is
    /// exact, for subnormal numbers too.
    static final int HALF_BITS = 0x8FFF_E000;

    static final float HALF_BIAS = 0x1p112f;
    static final long ROW_BYTES = (long) PackedMatrix.PANEL_ROWS * Float.BYTES;

    private static final VectorSpecies<Float> F = VectorWidth.FLOATS;
    private static final VectorSpecies<Integer> I = VectorWidth.INTS;
    private static final ByteOrder LITTLE = ByteOrder.LITTLE_ENDIAN;
    private static final int L = F.length();
    private static final int ROWS = PackedMatrix.PANEL_ROWS;

    private VectorUnpacking() {}

    /// @param at byte of the first block
    /// @param target receives `[blocks * 32, 64]`
    static void unpack(PackedMatrix matrix, long at, int blocks, MemorySegment target) {
        MemorySegment words = matrix.words();
        int blockBytes = matrix.blockBytes();
        for (int block = 0; block < blocks; block++) {
            long from = at + (long) block * blockBytes;
            long to = (long) block * PackedMatrix.BLOCK_COLUMNS * ROW_BYTES;
            for (int row = 0; row < ROWS; row += L) {
                switch (matrix.elements()) {
                    case F32 -> floats(words, from, row, target, to);
                    case F16 -> halves(words, from, row, target, to);
                    case BF16 -> bfloats(words, from, row, target, to);
                    case Q8_0 -> q8(words, from, row, target, to);
                    case Q4_0 -> q4With8(words, from, row, target, to);
                    case Q4_1 -> q4WithMinimum(words, from, row, target, to);
                }
            }
        }
    }

    private static void floats(MemorySegment words, long from, int row, MemorySegment target, long to) {
        for (int k = 0; k < PackedMatrix.BLOCK_COLUMNS; k++) {
            long offset = k * ROW_BYTES + (long) row * Float.BYTES;
            IntVector.fromMemorySegment(I, words, from + offset, LITTLE).intoMemorySegment(target, to + offset, LITTLE);
        }
    }

    private static void halves(MemorySegment words, long from, int row, MemorySegment target, long to) {
        for (int i = 0; i < 16; i++) {
            IntVector pair =
                    IntVector.fromMemorySegment(I, words, from + i * ROW_BYTES + (long) row * Float.BYTES, LITTLE);
            long at = to + 2L * i * ROW_BYTES + (long) row * Float.BYTES;
            pair.lanewise(VectorOperators.LSHL, 16)
                    .lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS)
                    .intoMemorySegment(target, at, LITTLE);
            pair.lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS)
                    .intoMemorySegment(target, at + ROW_BYTES, LITTLE);
        }
    }

    private static void bfloats(MemorySegment words, long from, int row, MemorySegment target, long to) {
        for (int i = 0; i < 16; i++) {
            IntVector pair =
                    IntVector.fromMemorySegment(I, words, from + i * ROW_BYTES + (long) row * Float.BYTES, LITTLE);
            long at = to + 2L * i * ROW_BYTES + (long) row * Float.BYTES;
            pair.lanewise(VectorOperators.LSHL, 16).intoMemorySegment(target, at, LITTLE);
            pair.and(0xFFFF_0000).intoMemorySegment(target, at + ROW_BYTES, LITTLE);
        }
    }

    private static void q8(MemorySegment words, long from, int row, MemorySegment target, long to) {
        FloatVector scale = IntVector.fromMemorySegment(I, words, from + (long) (row % HALF) * Float.BYTES, LITTLE)
                .lanewise(VectorOperators.LSHL, row < HALF ? 16 : 0)
                .lanewise(VectorOperators.ASHR, 3)
                .and(HALF_BITS)
                .reinterpretAsFloats()
                .mul(HALF_BIAS);
        for (int i = 0; i < 8; i++) {
            IntVector four = IntVector.fromMemorySegment(
                    I, words, from + ((long) HALF + row) * Float.BYTES + i * ROW_BYTES, LITTLE);
            long at = to + 4L * i * ROW_BYTES + (long) row * Float.BYTES;
            ((FloatVector) four.lanewise(VectorOperators.LSHL, 24)
                            .lanewise(VectorOperators.ASHR, 24)
                            .convert(VectorOperators.I2F, 0))
                    .mul(scale)
                    .intoMemorySegment(target, at, LITTLE);
            ((FloatVector) four.lanewise(VectorOperators.LSHL, 16)
                            .lanewise(VectorOperators.ASHR, 24)
                            .convert(VectorOperators.I2F, 0))
                    .mul(scale)
                    .intoMemorySegment(target, at + ROW_BYTES, LITTLE);
            ((FloatVector) four.lanewise(VectorOperators.LSHL, 8)
                            .lanewise(VectorOperators.ASHR, 24)
                            .convert(VectorOperators.I2F, 0))
                    .mul(scale)
                    .intoMemorySegment(target, at + 2 * ROW_BYTES, LITTLE);
            ((FloatVector) four.lanewise(VectorOperators.ASHR, 24).convert(VectorOperators.I2F, 0))
                    .mul(scale)
                    .intoMemorySegment(target, at + 3 * ROW_BYTES, LITTLE);
        }
    }

    private static void q4With8(MemorySegment words, long from, int row, MemorySegment target, long to) {
        FloatVector scale = IntVector.fromMemorySegment(I, words, from + (long) (row % HALF) * Float.BYTES, LITTLE)
                .lanewise(VectorOperators.LSHL, row < HALF ? 16 : 0)
                .lanewise(VectorOperators.ASHR, 3)
                .and(HALF_BITS)
                .reinterpretAsFloats()
                .mul(HALF_BIAS);
        FloatVector minimum = scale.mul(-8);
        for (int i = 0; i < 4; i++) {
            IntVector eight = IntVector.fromMemorySegment(
                    I, words, from + ((long) HALF + row) * Float.BYTES + i * ROW_BYTES, LITTLE);
            long at = to + 8L * i * ROW_BYTES + (long) row * Float.BYTES;
            ((FloatVector) eight.and(15).convert(VectorOperators.I2F, 0))
                    .fma(scale, minimum)
                    .intoMemorySegment(target, at, LITTLE);
            ((FloatVector) eight.lanewise(VectorOperators.LSHR, 4).and(15).convert(VectorOperators.I2F, 0))
                    .fma(scale, minimum)
                    .intoMemorySegment(target, at + ROW_BYTES, LITTLE);
            ((FloatVector) eight.lanewise(VectorOperators.LSHR, 8).and(15).convert(VectorOperators.I2F, 0))
                    .fma(scale, minimum)
                    .intoMemorySegment(target, at + 2 * ROW_BYTES, LITTLE);
            ((FloatVector) eight.lanewise(VectorOperators.LSHR, 12).and(15).convert(VectorOperators.I2F, 0))
                    .fma(scale, minimum)
                    .intoMemorySegment(target, at + 3 * ROW_BYTES, LITTLE);
            ((FloatVector) eight.lanewise(VectorOperators.LSHR, 16).and(15).convert(VectorOperators.I2F, 0))
                    .fma(scale, minimum)
                    .intoMemorySegment(target, at + 4 * ROW_BYTES, LITTLE);
            ((FloatVector) eight.lanewise(VectorOperators.LSHR, 20).and(15).convert(VectorOperators.I2F, 0))
                    .fma(scale, minimum)
                    .intoMemorySegment(target, at + 5 * ROW_BYTES, LITTLE);
            ((FloatVector) eight.lanewise(VectorOperators.LSHR, 24).and(15).convert(VectorOperators.I2F, 0))
                    .fma(scale, minimum)
                    .intoMemorySegment(target, at + 6 * ROW_BYTES, LITTLE);
            ((FloatVector) eight.lanewise(VectorOperators.LSHR, 28).convert(VectorOperators.I2F, 0))
                    .fma(scale, minimum)
                    .intoMemorySegment(target, at + 7 * ROW_BYTES, LITTLE);
        }
    }

    private static void q4WithMinimum(MemorySegment words, long from, int row, MemorySegment target, long to) {
        IntVector scales = IntVector.fromMemorySegment(I, words, from + (long) row * Float.BYTES, LITTLE);
        FloatVector scale = scales.lanewise(VectorOperators.ASHR, 3)
                .and(HALF_BITS)
                .reinterpretAsFloats()
                .mul(HALF_BIAS);
        FloatVector minimum = scales.lanewise(VectorOperators.LSHL, 16)
                .lanewise(VectorOperators.ASHR, 3)
                .and(HALF_BITS)
                .reinterpretAsFloats()
                .mul(HALF_BIAS);
        for (int i = 0; i < 4; i++) {
            IntVector eight = IntVector.fromMemorySegment(
                    I, words, from + ((long) ROWS + row) * Float.BYTES + i * ROW_BYTES, LITTLE);
            long at = to + 8L * i * ROW_BYTES + (long) row * Float.BYTES;
            ((FloatVector) eight.and(15).convert(VectorOperators.I2F, 0))
                    .fma(scale, minimum)
                    .intoMemorySegment(target, at, LITTLE);
            ((FloatVector) eight.lanewise(VectorOperators.LSHR, 4).and(15).convert(VectorOperators.I2F, 0))
                    .fma(scale, minimum)
                    .intoMemorySegment(target, at + ROW_BYTES, LITTLE);
            ((FloatVector) eight.lanewise(VectorOperators.LSHR, 8).and(15).convert(VectorOperators.I2F, 0))
                    .fma(scale, minimum)
                    .intoMemorySegment(target, at + 2 * ROW_BYTES, LITTLE);
            ((FloatVector) eight.lanewise(VectorOperators.LSHR, 12).and(15).convert(VectorOperators.I2F, 0))
                    .fma(scale, minimum)
                    .intoMemorySegment(target, at + 3 * ROW_BYTES, LITTLE);
            ((FloatVector) eight.lanewise(VectorOperators.LSHR, 16).and(15).convert(VectorOperators.I2F, 0))
                    .fma(scale, minimum)
                    .intoMemorySegment(target, at + 4 * ROW_BYTES, LITTLE);
            ((FloatVector) eight.lanewise(VectorOperators.LSHR, 20).and(15).convert(VectorOperators.I2F, 0))
                    .fma(scale, minimum)
                    .intoMemorySegment(target, at + 5 * ROW_BYTES, LITTLE);
            ((FloatVector) eight.lanewise(VectorOperators.LSHR, 24).and(15).convert(VectorOperators.I2F, 0))
                    .fma(scale, minimum)
                    .intoMemorySegment(target, at + 6 * ROW_BYTES, LITTLE);
            ((FloatVector) eight.lanewise(VectorOperators.LSHR, 28).convert(VectorOperators.I2F, 0))
                    .fma(scale, minimum)
                    .intoMemorySegment(target, at + 7 * ROW_BYTES, LITTLE);
        }
    }
}
