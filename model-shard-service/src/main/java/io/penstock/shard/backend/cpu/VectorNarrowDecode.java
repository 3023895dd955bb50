package io.penstock.shard.backend.cpu;

import static io.penstock.shard.backend.cpu.VectorUnpacking.HALF;
import static io.penstock.shard.backend.cpu.VectorUnpacking.HALF_BIAS;
import static io.penstock.shard.backend.cpu.VectorUnpacking.HALF_BITS;
import static io.penstock.shard.backend.cpu.VectorUnpacking.ROW_BYTES;

import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/// What [VectorDecode] does with quantised weights, for machines of 16 vector registers (AVX2): two
/// vectors of rows at a time, block by block, the sums kept in the outputs in between. With four, scales
/// and sums alone fill the registers, and half of the instructions move them about; through a whole panel
/// at a time, each pass would skip what the others read, and memory comes slower. The same operations
/// in the same order, so the same bits. Measured on Zen 3, weights not in the cache: 4-bit ones 1.6
/// times as fast, 8-bit ones 1.3 times; 16-bit ones, which have no scales, were slower.
///
/// Written out for the reason that [VectorDecode] gives.
final class VectorNarrowDecode {
    private static final VectorSpecies<Float> F = VectorWidth.FLOATS;
    private static final VectorSpecies<Integer> I = VectorWidth.INTS;
    private static final ByteOrder LITTLE = ByteOrder.LITTLE_ENDIAN;
    /// Lanes and bytes of a vector.
    private static final int L = F.length();
    private static final long V = F.vectorByteSize();

    private static final int ROWS = PackedMatrix.PANEL_ROWS;
    private static final int COLUMNS = PackedMatrix.BLOCK_COLUMNS;

    private VectorNarrowDecode() {}

    static void multiply(PackedMatrix matrix, int panel, float[] x, int x0, float[] y, int y0) {
        MemorySegment w = matrix.words();
        long at = panel * matrix.panelBytes();
        int blocks = matrix.blocks();
        int blockBytes = matrix.blockBytes();
        Arrays.fill(y, y0, y0 + ROWS, 0f);
        for (int block = 0; block < blocks; block++) {
            int k = x0 + block * COLUMNS;
            for (int row = 0; row < ROWS; row += 2 * L) {
                int o = y0 + row;
                switch (matrix.elements()) {
                    case F32, F16, BF16 ->
                        throw new IllegalArgumentException(matrix.elements().name());
                    case Q8_0 -> q8(w, at, row, x, k, y, o);
                    case Q4_0 -> q4With8(w, at, row, x, k, y, o);
                    case Q4_1 -> q4WithMinimum(w, at, row, x, k, y, o);
                }
            }
            at += blockBytes;
        }
    }

    private static void q8(MemorySegment w, long at, int row, float[] x, int k, float[] y, int o) {
        FloatVector s0 = FloatVector.fromArray(F, y, o);
        FloatVector s1 = FloatVector.fromArray(F, y, o + L);
        int r0 = row + 0 * L;
        FloatVector d0 = IntVector.fromMemorySegment(I, w, at + (long) (r0 % HALF) * Integer.BYTES, LITTLE)
                .lanewise(VectorOperators.LSHL, r0 < HALF ? 16 : 0)
                .lanewise(VectorOperators.ASHR, 3)
                .and(HALF_BITS)
                .reinterpretAsFloats()
                .mul(HALF_BIAS);
        int r1 = row + 1 * L;
        FloatVector d1 = IntVector.fromMemorySegment(I, w, at + (long) (r1 % HALF) * Integer.BYTES, LITTLE)
                .lanewise(VectorOperators.LSHL, r1 < HALF ? 16 : 0)
                .lanewise(VectorOperators.ASHR, 3)
                .and(HALF_BITS)
                .reinterpretAsFloats()
                .mul(HALF_BIAS);
        long from = at + (long) HALF * Integer.BYTES + (long) row * Integer.BYTES;
        for (int i = 0; i < COLUMNS / 4; i++) {
            IntVector w0 = IntVector.fromMemorySegment(I, w, from + i * ROW_BYTES, LITTLE);
            IntVector w1 = IntVector.fromMemorySegment(I, w, from + i * ROW_BYTES + V, LITTLE);
            int c = k + 4 * i;
            FloatVector b0 = FloatVector.broadcast(F, x[c + 0]);
            s0 = ((FloatVector) w0.lanewise(VectorOperators.LSHL, 24)
                            .lanewise(VectorOperators.ASHR, 24)
                            .convert(VectorOperators.I2F, 0))
                    .mul(d0)
                    .fma(b0, s0);
            s1 = ((FloatVector) w1.lanewise(VectorOperators.LSHL, 24)
                            .lanewise(VectorOperators.ASHR, 24)
                            .convert(VectorOperators.I2F, 0))
                    .mul(d1)
                    .fma(b0, s1);
            FloatVector b1 = FloatVector.broadcast(F, x[c + 1]);
            s0 = ((FloatVector) w0.lanewise(VectorOperators.LSHL, 16)
                            .lanewise(VectorOperators.ASHR, 24)
                            .convert(VectorOperators.I2F, 0))
                    .mul(d0)
                    .fma(b1, s0);
            s1 = ((FloatVector) w1.lanewise(VectorOperators.LSHL, 16)
                            .lanewise(VectorOperators.ASHR, 24)
                            .convert(VectorOperators.I2F, 0))
                    .mul(d1)
                    .fma(b1, s1);
            FloatVector b2 = FloatVector.broadcast(F, x[c + 2]);
            s0 = ((FloatVector) w0.lanewise(VectorOperators.LSHL, 8)
                            .lanewise(VectorOperators.ASHR, 24)
                            .convert(VectorOperators.I2F, 0))
                    .mul(d0)
                    .fma(b2, s0);
            s1 = ((FloatVector) w1.lanewise(VectorOperators.LSHL, 8)
                            .lanewise(VectorOperators.ASHR, 24)
                            .convert(VectorOperators.I2F, 0))
                    .mul(d1)
                    .fma(b2, s1);
            FloatVector b3 = FloatVector.broadcast(F, x[c + 3]);
            s0 = ((FloatVector) w0.lanewise(VectorOperators.ASHR, 24).convert(VectorOperators.I2F, 0))
                    .mul(d0)
                    .fma(b3, s0);
            s1 = ((FloatVector) w1.lanewise(VectorOperators.ASHR, 24).convert(VectorOperators.I2F, 0))
                    .mul(d1)
                    .fma(b3, s1);
        }
        s0.intoArray(y, o);
        s1.intoArray(y, o + L);
    }

    private static void q4With8(MemorySegment w, long at, int row, float[] x, int k, float[] y, int o) {
        FloatVector s0 = FloatVector.fromArray(F, y, o);
        FloatVector s1 = FloatVector.fromArray(F, y, o + L);
        int r0 = row + 0 * L;
        FloatVector d0 = IntVector.fromMemorySegment(I, w, at + (long) (r0 % HALF) * Integer.BYTES, LITTLE)
                .lanewise(VectorOperators.LSHL, r0 < HALF ? 16 : 0)
                .lanewise(VectorOperators.ASHR, 3)
                .and(HALF_BITS)
                .reinterpretAsFloats()
                .mul(HALF_BIAS);
        int r1 = row + 1 * L;
        FloatVector d1 = IntVector.fromMemorySegment(I, w, at + (long) (r1 % HALF) * Integer.BYTES, LITTLE)
                .lanewise(VectorOperators.LSHL, r1 < HALF ? 16 : 0)
                .lanewise(VectorOperators.ASHR, 3)
                .and(HALF_BITS)
                .reinterpretAsFloats()
                .mul(HALF_BIAS);
        FloatVector m0 = d0.mul(-8);
        FloatVector m1 = d1.mul(-8);
        long from = at + (long) HALF * Integer.BYTES + (long) row * Integer.BYTES;
        for (int i = 0; i < COLUMNS / 8; i++) {
            IntVector w0 = IntVector.fromMemorySegment(I, w, from + i * ROW_BYTES, LITTLE);
            IntVector w1 = IntVector.fromMemorySegment(I, w, from + i * ROW_BYTES + V, LITTLE);
            for (int c = k + 8 * i; c < k + 8 * i + 8; c++) {
                FloatVector b = FloatVector.broadcast(F, x[c]);
                s0 = ((FloatVector) w0.and(15).convert(VectorOperators.I2F, 0))
                        .fma(d0, m0)
                        .fma(b, s0);
                s1 = ((FloatVector) w1.and(15).convert(VectorOperators.I2F, 0))
                        .fma(d1, m1)
                        .fma(b, s1);
                w0 = w0.lanewise(VectorOperators.LSHR, 4);
                w1 = w1.lanewise(VectorOperators.LSHR, 4);
            }
        }
        s0.intoArray(y, o);
        s1.intoArray(y, o + L);
    }

    private static void q4WithMinimum(MemorySegment w, long at, int row, float[] x, int k, float[] y, int o) {
        FloatVector s0 = FloatVector.fromArray(F, y, o);
        FloatVector s1 = FloatVector.fromArray(F, y, o + L);
        IntVector scales0 = IntVector.fromMemorySegment(I, w, at + (long) row * Integer.BYTES + 0 * V, LITTLE);
        FloatVector d0 = scales0.lanewise(VectorOperators.ASHR, 3)
                .and(HALF_BITS)
                .reinterpretAsFloats()
                .mul(HALF_BIAS);
        FloatVector m0 = scales0.lanewise(VectorOperators.LSHL, 16)
                .lanewise(VectorOperators.ASHR, 3)
                .and(HALF_BITS)
                .reinterpretAsFloats()
                .mul(HALF_BIAS);
        IntVector scales1 = IntVector.fromMemorySegment(I, w, at + (long) row * Integer.BYTES + 1 * V, LITTLE);
        FloatVector d1 = scales1.lanewise(VectorOperators.ASHR, 3)
                .and(HALF_BITS)
                .reinterpretAsFloats()
                .mul(HALF_BIAS);
        FloatVector m1 = scales1.lanewise(VectorOperators.LSHL, 16)
                .lanewise(VectorOperators.ASHR, 3)
                .and(HALF_BITS)
                .reinterpretAsFloats()
                .mul(HALF_BIAS);
        long from = at + ROW_BYTES + (long) row * Integer.BYTES;
        for (int i = 0; i < COLUMNS / 8; i++) {
            IntVector w0 = IntVector.fromMemorySegment(I, w, from + i * ROW_BYTES, LITTLE);
            IntVector w1 = IntVector.fromMemorySegment(I, w, from + i * ROW_BYTES + V, LITTLE);
            for (int c = k + 8 * i; c < k + 8 * i + 8; c++) {
                FloatVector b = FloatVector.broadcast(F, x[c]);
                s0 = ((FloatVector) w0.and(15).convert(VectorOperators.I2F, 0))
                        .fma(d0, m0)
                        .fma(b, s0);
                s1 = ((FloatVector) w1.and(15).convert(VectorOperators.I2F, 0))
                        .fma(d1, m1)
                        .fma(b, s1);
                w0 = w0.lanewise(VectorOperators.LSHR, 4);
                w1 = w1.lanewise(VectorOperators.LSHR, 4);
            }
        }
        s0.intoArray(y, o);
        s1.intoArray(y, o + L);
    }
}
