package io.penstock.shard.backend.cpu;

import static io.penstock.shard.backend.cpu.VectorUnpacking.HALF;
import static io.penstock.shard.backend.cpu.VectorUnpacking.HALF_BIAS;
import static io.penstock.shard.backend.cpu.VectorUnpacking.HALF_BITS;
import static io.penstock.shard.backend.cpu.VectorUnpacking.ROW_BYTES;

import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/// Products of packed weights with one token's vector, unpacked in registers: what a decode step of one
/// sequence does. Four vectors of rows at a time, since a sum's next product waits for its last.
///
/// Written out, helpers and loops alike: C2 turns a vector that it hands to a method of ours into an
/// object, which costs ten times what the arithmetic does.
final class VectorDecode {
    private static final VectorSpecies<Float> F = VectorWidth.FLOATS;
    private static final VectorSpecies<Integer> I = VectorWidth.INTS;
    private static final ByteOrder LITTLE = ByteOrder.LITTLE_ENDIAN;
    /// Lanes and bytes of a vector.
    private static final int L = F.length();
    private static final long V = F.vectorByteSize();

    private static final int COLUMNS = PackedMatrix.BLOCK_COLUMNS;
    private static final int Q8_BYTES = PackedMatrix.blockBytes(Elements.Q8_0);
    private static final int Q4_0_BYTES = PackedMatrix.blockBytes(Elements.Q4_0);
    private static final int Q4_1_BYTES = PackedMatrix.blockBytes(Elements.Q4_1);

    private VectorDecode() {}

    static void multiply(PackedMatrix matrix, int panel, float[] x, int x0, float[] y, int y0) {
        MemorySegment w = matrix.words();
        long at = panel * matrix.panelBytes();
        int blocks = matrix.blocks();
        for (int row = 0; row < PackedMatrix.PANEL_ROWS; row += 4 * L) {
            int o = y0 + row;
            switch (matrix.elements()) {
                case F32 -> f32(w, at, row, blocks, x, x0, y, o);
                case F16 -> f16(w, at, row, blocks, x, x0, y, o);
                case BF16 -> bf16(w, at, row, blocks, x, x0, y, o);
                case Q8_0 -> q8(w, at, row, blocks, x, x0, y, o);
                case Q4_0 -> q4With8(w, at, row, blocks, x, x0, y, o);
                case Q4_1 -> q4WithMinimum(w, at, row, blocks, x, x0, y, o);
            }
        }
    }

    private static void f32(MemorySegment w, long at, int row, int blocks, float[] x, int x0, float[] y, int o) {
        FloatVector s0 = FloatVector.zero(F);
        FloatVector s1 = FloatVector.zero(F);
        FloatVector s2 = FloatVector.zero(F);
        FloatVector s3 = FloatVector.zero(F);
        int columns = blocks * COLUMNS;
        long from = at + (long) row * Float.BYTES;
        for (int k = 0; k < columns; k++) {
            long word = from + k * ROW_BYTES;
            FloatVector b = FloatVector.broadcast(F, x[x0 + k]);
            s0 = FloatVector.fromMemorySegment(F, w, word, LITTLE).fma(b, s0);
            s1 = FloatVector.fromMemorySegment(F, w, word + V, LITTLE).fma(b, s1);
            s2 = FloatVector.fromMemorySegment(F, w, word + 2 * V, LITTLE).fma(b, s2);
            s3 = FloatVector.fromMemorySegment(F, w, word + 3 * V, LITTLE).fma(b, s3);
        }
        s0.intoArray(y, o);
        s1.intoArray(y, o + L);
        s2.intoArray(y, o + 2 * L);
        s3.intoArray(y, o + 3 * L);
    }

    private static void f16(MemorySegment w, long at, int row, int blocks, float[] x, int x0, float[] y, int o) {
        FloatVector s0 = FloatVector.zero(F);
        FloatVector s1 = FloatVector.zero(F);
        FloatVector s2 = FloatVector.zero(F);
        FloatVector s3 = FloatVector.zero(F);
        int words = blocks * COLUMNS / 2;
        long from = at + (long) row * Float.BYTES;
        for (int i = 0; i < words; i++) {
            long word = from + i * ROW_BYTES;
            int k = x0 + 2 * i;
            FloatVector low = FloatVector.broadcast(F, x[k]);
            FloatVector high = FloatVector.broadcast(F, x[k + 1]);
            IntVector w0 = IntVector.fromMemorySegment(I, w, word, LITTLE);
            IntVector w1 = IntVector.fromMemorySegment(I, w, word + V, LITTLE);
            IntVector w2 = IntVector.fromMemorySegment(I, w, word + 2 * V, LITTLE);
            IntVector w3 = IntVector.fromMemorySegment(I, w, word + 3 * V, LITTLE);
            s0 = w0.lanewise(VectorOperators.LSHL, 16)
                    .lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS)
                    .fma(low, s0);
            s1 = w1.lanewise(VectorOperators.LSHL, 16)
                    .lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS)
                    .fma(low, s1);
            s2 = w2.lanewise(VectorOperators.LSHL, 16)
                    .lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS)
                    .fma(low, s2);
            s3 = w3.lanewise(VectorOperators.LSHL, 16)
                    .lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS)
                    .fma(low, s3);
            s0 = w0.lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS)
                    .fma(high, s0);
            s1 = w1.lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS)
                    .fma(high, s1);
            s2 = w2.lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS)
                    .fma(high, s2);
            s3 = w3.lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS)
                    .fma(high, s3);
        }
        s0.intoArray(y, o);
        s1.intoArray(y, o + L);
        s2.intoArray(y, o + 2 * L);
        s3.intoArray(y, o + 3 * L);
    }

    private static void bf16(MemorySegment w, long at, int row, int blocks, float[] x, int x0, float[] y, int o) {
        FloatVector s0 = FloatVector.zero(F);
        FloatVector s1 = FloatVector.zero(F);
        FloatVector s2 = FloatVector.zero(F);
        FloatVector s3 = FloatVector.zero(F);
        int words = blocks * COLUMNS / 2;
        long from = at + (long) row * Float.BYTES;
        for (int i = 0; i < words; i++) {
            long word = from + i * ROW_BYTES;
            int k = x0 + 2 * i;
            FloatVector low = FloatVector.broadcast(F, x[k]);
            FloatVector high = FloatVector.broadcast(F, x[k + 1]);
            IntVector w0 = IntVector.fromMemorySegment(I, w, word, LITTLE);
            IntVector w1 = IntVector.fromMemorySegment(I, w, word + V, LITTLE);
            IntVector w2 = IntVector.fromMemorySegment(I, w, word + 2 * V, LITTLE);
            IntVector w3 = IntVector.fromMemorySegment(I, w, word + 3 * V, LITTLE);
            s0 = w0.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats().fma(low, s0);
            s1 = w1.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats().fma(low, s1);
            s2 = w2.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats().fma(low, s2);
            s3 = w3.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats().fma(low, s3);
            s0 = w0.and(0xFFFF_0000).reinterpretAsFloats().fma(high, s0);
            s1 = w1.and(0xFFFF_0000).reinterpretAsFloats().fma(high, s1);
            s2 = w2.and(0xFFFF_0000).reinterpretAsFloats().fma(high, s2);
            s3 = w3.and(0xFFFF_0000).reinterpretAsFloats().fma(high, s3);
        }
        s0.intoArray(y, o);
        s1.intoArray(y, o + L);
        s2.intoArray(y, o + 2 * L);
        s3.intoArray(y, o + 3 * L);
    }

    private static void q8(MemorySegment w, long at, int row, int blocks, float[] x, int x0, float[] y, int o) {
        FloatVector s0 = FloatVector.zero(F);
        FloatVector s1 = FloatVector.zero(F);
        FloatVector s2 = FloatVector.zero(F);
        FloatVector s3 = FloatVector.zero(F);
        for (int block = 0; block < blocks; block++) {
            long from = at + (long) block * Q8_BYTES;
            int r0 = row;
            FloatVector d0 = IntVector.fromMemorySegment(I, w, from + (long) (r0 % HALF) * Integer.BYTES, LITTLE)
                    .lanewise(VectorOperators.LSHL, r0 < HALF ? 16 : 0)
                    .lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS);
            int r1 = row + L;
            FloatVector d1 = IntVector.fromMemorySegment(I, w, from + (long) (r1 % HALF) * Integer.BYTES, LITTLE)
                    .lanewise(VectorOperators.LSHL, r1 < HALF ? 16 : 0)
                    .lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS);
            int r2 = row + 2 * L;
            FloatVector d2 = IntVector.fromMemorySegment(I, w, from + (long) (r2 % HALF) * Integer.BYTES, LITTLE)
                    .lanewise(VectorOperators.LSHL, r2 < HALF ? 16 : 0)
                    .lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS);
            int r3 = row + 3 * L;
            FloatVector d3 = IntVector.fromMemorySegment(I, w, from + (long) (r3 % HALF) * Integer.BYTES, LITTLE)
                    .lanewise(VectorOperators.LSHL, r3 < HALF ? 16 : 0)
                    .lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS);
            for (int i = 0; i < 8; i++) {
                long word = from + (long) HALF * Float.BYTES + i * ROW_BYTES + (long) row * Float.BYTES;
                int k = x0 + block * COLUMNS + 4 * i;
                IntVector w0 = IntVector.fromMemorySegment(I, w, word, LITTLE);
                IntVector w1 = IntVector.fromMemorySegment(I, w, word + V, LITTLE);
                IntVector w2 = IntVector.fromMemorySegment(I, w, word + 2 * V, LITTLE);
                IntVector w3 = IntVector.fromMemorySegment(I, w, word + 3 * V, LITTLE);
                FloatVector b0 = FloatVector.broadcast(F, x[k]);
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
                s2 = ((FloatVector) w2.lanewise(VectorOperators.LSHL, 24)
                                .lanewise(VectorOperators.ASHR, 24)
                                .convert(VectorOperators.I2F, 0))
                        .mul(d2)
                        .fma(b0, s2);
                s3 = ((FloatVector) w3.lanewise(VectorOperators.LSHL, 24)
                                .lanewise(VectorOperators.ASHR, 24)
                                .convert(VectorOperators.I2F, 0))
                        .mul(d3)
                        .fma(b0, s3);
                FloatVector b1 = FloatVector.broadcast(F, x[k + 1]);
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
                s2 = ((FloatVector) w2.lanewise(VectorOperators.LSHL, 16)
                                .lanewise(VectorOperators.ASHR, 24)
                                .convert(VectorOperators.I2F, 0))
                        .mul(d2)
                        .fma(b1, s2);
                s3 = ((FloatVector) w3.lanewise(VectorOperators.LSHL, 16)
                                .lanewise(VectorOperators.ASHR, 24)
                                .convert(VectorOperators.I2F, 0))
                        .mul(d3)
                        .fma(b1, s3);
                FloatVector b2 = FloatVector.broadcast(F, x[k + 2]);
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
                s2 = ((FloatVector) w2.lanewise(VectorOperators.LSHL, 8)
                                .lanewise(VectorOperators.ASHR, 24)
                                .convert(VectorOperators.I2F, 0))
                        .mul(d2)
                        .fma(b2, s2);
                s3 = ((FloatVector) w3.lanewise(VectorOperators.LSHL, 8)
                                .lanewise(VectorOperators.ASHR, 24)
                                .convert(VectorOperators.I2F, 0))
                        .mul(d3)
                        .fma(b2, s3);
                FloatVector b3 = FloatVector.broadcast(F, x[k + 3]);
                s0 = ((FloatVector) w0.lanewise(VectorOperators.ASHR, 24).convert(VectorOperators.I2F, 0))
                        .mul(d0)
                        .fma(b3, s0);
                s1 = ((FloatVector) w1.lanewise(VectorOperators.ASHR, 24).convert(VectorOperators.I2F, 0))
                        .mul(d1)
                        .fma(b3, s1);
                s2 = ((FloatVector) w2.lanewise(VectorOperators.ASHR, 24).convert(VectorOperators.I2F, 0))
                        .mul(d2)
                        .fma(b3, s2);
                s3 = ((FloatVector) w3.lanewise(VectorOperators.ASHR, 24).convert(VectorOperators.I2F, 0))
                        .mul(d3)
                        .fma(b3, s3);
            }
        }
        s0.intoArray(y, o);
        s1.intoArray(y, o + L);
        s2.intoArray(y, o + 2 * L);
        s3.intoArray(y, o + 3 * L);
    }

    private static void q4With8(MemorySegment w, long at, int row, int blocks, float[] x, int x0, float[] y, int o) {
        FloatVector s0 = FloatVector.zero(F);
        FloatVector s1 = FloatVector.zero(F);
        FloatVector s2 = FloatVector.zero(F);
        FloatVector s3 = FloatVector.zero(F);
        for (int block = 0; block < blocks; block++) {
            long from = at + (long) block * Q4_0_BYTES;
            int r0 = row;
            FloatVector d0 = IntVector.fromMemorySegment(I, w, from + (long) (r0 % HALF) * Integer.BYTES, LITTLE)
                    .lanewise(VectorOperators.LSHL, r0 < HALF ? 16 : 0)
                    .lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS);
            int r1 = row + L;
            FloatVector d1 = IntVector.fromMemorySegment(I, w, from + (long) (r1 % HALF) * Integer.BYTES, LITTLE)
                    .lanewise(VectorOperators.LSHL, r1 < HALF ? 16 : 0)
                    .lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS);
            int r2 = row + 2 * L;
            FloatVector d2 = IntVector.fromMemorySegment(I, w, from + (long) (r2 % HALF) * Integer.BYTES, LITTLE)
                    .lanewise(VectorOperators.LSHL, r2 < HALF ? 16 : 0)
                    .lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS);
            int r3 = row + 3 * L;
            FloatVector d3 = IntVector.fromMemorySegment(I, w, from + (long) (r3 % HALF) * Integer.BYTES, LITTLE)
                    .lanewise(VectorOperators.LSHL, r3 < HALF ? 16 : 0)
                    .lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS);
            FloatVector m0 = d0.mul(-8);
            FloatVector m1 = d1.mul(-8);
            FloatVector m2 = d2.mul(-8);
            FloatVector m3 = d3.mul(-8);
            for (int i = 0; i < 4; i++) {
                long word = from + (long) HALF * Float.BYTES + i * ROW_BYTES + (long) row * Float.BYTES;
                int k = x0 + block * COLUMNS + 8 * i;
                IntVector w0 = IntVector.fromMemorySegment(I, w, word, LITTLE);
                IntVector w1 = IntVector.fromMemorySegment(I, w, word + V, LITTLE);
                IntVector w2 = IntVector.fromMemorySegment(I, w, word + 2 * V, LITTLE);
                IntVector w3 = IntVector.fromMemorySegment(I, w, word + 3 * V, LITTLE);
                for (int half = 0; half < 8; half += 4) {
                    FloatVector b0 = FloatVector.broadcast(F, x[k + half]);
                    s0 = ((FloatVector) w0.and(15).convert(VectorOperators.I2F, 0))
                            .fma(d0, m0)
                            .fma(b0, s0);
                    s1 = ((FloatVector) w1.and(15).convert(VectorOperators.I2F, 0))
                            .fma(d1, m1)
                            .fma(b0, s1);
                    s2 = ((FloatVector) w2.and(15).convert(VectorOperators.I2F, 0))
                            .fma(d2, m2)
                            .fma(b0, s2);
                    s3 = ((FloatVector) w3.and(15).convert(VectorOperators.I2F, 0))
                            .fma(d3, m3)
                            .fma(b0, s3);
                    FloatVector b1 = FloatVector.broadcast(F, x[k + half + 1]);
                    s0 = ((FloatVector)
                                    w0.lanewise(VectorOperators.LSHR, 4).and(15).convert(VectorOperators.I2F, 0))
                            .fma(d0, m0)
                            .fma(b1, s0);
                    s1 = ((FloatVector)
                                    w1.lanewise(VectorOperators.LSHR, 4).and(15).convert(VectorOperators.I2F, 0))
                            .fma(d1, m1)
                            .fma(b1, s1);
                    s2 = ((FloatVector)
                                    w2.lanewise(VectorOperators.LSHR, 4).and(15).convert(VectorOperators.I2F, 0))
                            .fma(d2, m2)
                            .fma(b1, s2);
                    s3 = ((FloatVector)
                                    w3.lanewise(VectorOperators.LSHR, 4).and(15).convert(VectorOperators.I2F, 0))
                            .fma(d3, m3)
                            .fma(b1, s3);
                    FloatVector b2 = FloatVector.broadcast(F, x[k + half + 2]);
                    s0 = ((FloatVector)
                                    w0.lanewise(VectorOperators.LSHR, 8).and(15).convert(VectorOperators.I2F, 0))
                            .fma(d0, m0)
                            .fma(b2, s0);
                    s1 = ((FloatVector)
                                    w1.lanewise(VectorOperators.LSHR, 8).and(15).convert(VectorOperators.I2F, 0))
                            .fma(d1, m1)
                            .fma(b2, s1);
                    s2 = ((FloatVector)
                                    w2.lanewise(VectorOperators.LSHR, 8).and(15).convert(VectorOperators.I2F, 0))
                            .fma(d2, m2)
                            .fma(b2, s2);
                    s3 = ((FloatVector)
                                    w3.lanewise(VectorOperators.LSHR, 8).and(15).convert(VectorOperators.I2F, 0))
                            .fma(d3, m3)
                            .fma(b2, s3);
                    FloatVector b3 = FloatVector.broadcast(F, x[k + half + 3]);
                    s0 = ((FloatVector) w0.lanewise(VectorOperators.LSHR, 12)
                                    .and(15)
                                    .convert(VectorOperators.I2F, 0))
                            .fma(d0, m0)
                            .fma(b3, s0);
                    s1 = ((FloatVector) w1.lanewise(VectorOperators.LSHR, 12)
                                    .and(15)
                                    .convert(VectorOperators.I2F, 0))
                            .fma(d1, m1)
                            .fma(b3, s1);
                    s2 = ((FloatVector) w2.lanewise(VectorOperators.LSHR, 12)
                                    .and(15)
                                    .convert(VectorOperators.I2F, 0))
                            .fma(d2, m2)
                            .fma(b3, s2);
                    s3 = ((FloatVector) w3.lanewise(VectorOperators.LSHR, 12)
                                    .and(15)
                                    .convert(VectorOperators.I2F, 0))
                            .fma(d3, m3)
                            .fma(b3, s3);
                    w0 = w0.lanewise(VectorOperators.LSHR, 16);
                    w1 = w1.lanewise(VectorOperators.LSHR, 16);
                    w2 = w2.lanewise(VectorOperators.LSHR, 16);
                    w3 = w3.lanewise(VectorOperators.LSHR, 16);
                }
            }
        }
        s0.intoArray(y, o);
        s1.intoArray(y, o + L);
        s2.intoArray(y, o + 2 * L);
        s3.intoArray(y, o + 3 * L);
    }

    private static void q4WithMinimum(
            MemorySegment w, long at, int row, int blocks, float[] x, int x0, float[] y, int o) {
        FloatVector s0 = FloatVector.zero(F);
        FloatVector s1 = FloatVector.zero(F);
        FloatVector s2 = FloatVector.zero(F);
        FloatVector s3 = FloatVector.zero(F);
        for (int block = 0; block < blocks; block++) {
            long from = at + (long) block * Q4_1_BYTES;
            FloatVector d0 = IntVector.fromMemorySegment(I, w, from + (long) row * Float.BYTES, LITTLE)
                    .lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS);
            FloatVector m0 = IntVector.fromMemorySegment(I, w, from + (long) row * Float.BYTES, LITTLE)
                    .lanewise(VectorOperators.LSHL, 16)
                    .lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS);
            FloatVector d1 = IntVector.fromMemorySegment(I, w, from + (long) row * Float.BYTES + V, LITTLE)
                    .lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS);
            FloatVector m1 = IntVector.fromMemorySegment(I, w, from + (long) row * Float.BYTES + V, LITTLE)
                    .lanewise(VectorOperators.LSHL, 16)
                    .lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS);
            FloatVector d2 = IntVector.fromMemorySegment(I, w, from + (long) row * Float.BYTES + 2 * V, LITTLE)
                    .lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS);
            FloatVector m2 = IntVector.fromMemorySegment(I, w, from + (long) row * Float.BYTES + 2 * V, LITTLE)
                    .lanewise(VectorOperators.LSHL, 16)
                    .lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS);
            FloatVector d3 = IntVector.fromMemorySegment(I, w, from + (long) row * Float.BYTES + 3 * V, LITTLE)
                    .lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS);
            FloatVector m3 = IntVector.fromMemorySegment(I, w, from + (long) row * Float.BYTES + 3 * V, LITTLE)
                    .lanewise(VectorOperators.LSHL, 16)
                    .lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS);
            for (int i = 0; i < 4; i++) {
                long word = from + ROW_BYTES + i * ROW_BYTES + (long) row * Float.BYTES;
                int k = x0 + block * COLUMNS + 8 * i;
                IntVector w0 = IntVector.fromMemorySegment(I, w, word, LITTLE);
                IntVector w1 = IntVector.fromMemorySegment(I, w, word + V, LITTLE);
                IntVector w2 = IntVector.fromMemorySegment(I, w, word + 2 * V, LITTLE);
                IntVector w3 = IntVector.fromMemorySegment(I, w, word + 3 * V, LITTLE);
                for (int half = 0; half < 8; half += 4) {
                    FloatVector b0 = FloatVector.broadcast(F, x[k + half]);
                    s0 = ((FloatVector) w0.and(15).convert(VectorOperators.I2F, 0))
                            .fma(d0, m0)
                            .fma(b0, s0);
                    s1 = ((FloatVector) w1.and(15).convert(VectorOperators.I2F, 0))
                            .fma(d1, m1)
                            .fma(b0, s1);
                    s2 = ((FloatVector) w2.and(15).convert(VectorOperators.I2F, 0))
                            .fma(d2, m2)
                            .fma(b0, s2);
                    s3 = ((FloatVector) w3.and(15).convert(VectorOperators.I2F, 0))
                            .fma(d3, m3)
                            .fma(b0, s3);
                    FloatVector b1 = FloatVector.broadcast(F, x[k + half + 1]);
                    s0 = ((FloatVector)
                                    w0.lanewise(VectorOperators.LSHR, 4).and(15).convert(VectorOperators.I2F, 0))
                            .fma(d0, m0)
                            .fma(b1, s0);
                    s1 = ((FloatVector)
                                    w1.lanewise(VectorOperators.LSHR, 4).and(15).convert(VectorOperators.I2F, 0))
                            .fma(d1, m1)
                            .fma(b1, s1);
                    s2 = ((FloatVector)
                                    w2.lanewise(VectorOperators.LSHR, 4).and(15).convert(VectorOperators.I2F, 0))
                            .fma(d2, m2)
                            .fma(b1, s2);
                    s3 = ((FloatVector)
                                    w3.lanewise(VectorOperators.LSHR, 4).and(15).convert(VectorOperators.I2F, 0))
                            .fma(d3, m3)
                            .fma(b1, s3);
                    FloatVector b2 = FloatVector.broadcast(F, x[k + half + 2]);
                    s0 = ((FloatVector)
                                    w0.lanewise(VectorOperators.LSHR, 8).and(15).convert(VectorOperators.I2F, 0))
                            .fma(d0, m0)
                            .fma(b2, s0);
                    s1 = ((FloatVector)
                                    w1.lanewise(VectorOperators.LSHR, 8).and(15).convert(VectorOperators.I2F, 0))
                            .fma(d1, m1)
                            .fma(b2, s1);
                    s2 = ((FloatVector)
                                    w2.lanewise(VectorOperators.LSHR, 8).and(15).convert(VectorOperators.I2F, 0))
                            .fma(d2, m2)
                            .fma(b2, s2);
                    s3 = ((FloatVector)
                                    w3.lanewise(VectorOperators.LSHR, 8).and(15).convert(VectorOperators.I2F, 0))
                            .fma(d3, m3)
                            .fma(b2, s3);
                    FloatVector b3 = FloatVector.broadcast(F, x[k + half + 3]);
                    s0 = ((FloatVector) w0.lanewise(VectorOperators.LSHR, 12)
                                    .and(15)
                                    .convert(VectorOperators.I2F, 0))
                            .fma(d0, m0)
                            .fma(b3, s0);
                    s1 = ((FloatVector) w1.lanewise(VectorOperators.LSHR, 12)
                                    .and(15)
                                    .convert(VectorOperators.I2F, 0))
                            .fma(d1, m1)
                            .fma(b3, s1);
                    s2 = ((FloatVector) w2.lanewise(VectorOperators.LSHR, 12)
                                    .and(15)
                                    .convert(VectorOperators.I2F, 0))
                            .fma(d2, m2)
                            .fma(b3, s2);
                    s3 = ((FloatVector) w3.lanewise(VectorOperators.LSHR, 12)
                                    .and(15)
                                    .convert(VectorOperators.I2F, 0))
                            .fma(d3, m3)
                            .fma(b3, s3);
                    w0 = w0.lanewise(VectorOperators.LSHR, 16);
                    w1 = w1.lanewise(VectorOperators.LSHR, 16);
                    w2 = w2.lanewise(VectorOperators.LSHR, 16);
                    w3 = w3.lanewise(VectorOperators.LSHR, 16);
                }
            }
        }
        s0.intoArray(y, o);
        s1.intoArray(y, o + L);
        s2.intoArray(y, o + 2 * L);
        s3.intoArray(y, o + 3 * L);
    }
}
