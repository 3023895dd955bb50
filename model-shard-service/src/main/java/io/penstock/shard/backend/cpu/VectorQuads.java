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

/// Products of packed weights with a few tokens' vectors, four tokens at a time, unpacked in registers:
/// what a decode step of several sequences does. For so few, writing unpacked weights to scratch costs
/// more than unpacking them once for every four.
///
/// Two vectors of rows by four tokens: eight sums, which hide a product's latency and fit the registers
/// of AVX2. Written out for the reason that [VectorDecode] gives.
final class VectorQuads {
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

    private VectorQuads() {}

    /// Any format but F32, which has nothing to unpack.
    static void multiply(
            PackedMatrix matrix,
            int panel,
            float[] x,
            int xOffset,
            int xStride,
            int tokens,
            float[] y,
            int yOffset,
            int yStride) {
        MemorySegment w = matrix.words();
        long at = panel * matrix.panelBytes();
        int blocks = matrix.blocks();
        for (int row = 0; row < PackedMatrix.PANEL_ROWS; row += 2 * L) {
            for (int token = 0; token < tokens; token += 4) {
                // Where fewer than four are left, the last one is computed again into the same place.
                int second = Math.min(token + 1, tokens - 1);
                int third = Math.min(token + 2, tokens - 1);
                int fourth = Math.min(token + 3, tokens - 1);
                int x0 = xOffset + token * xStride;
                int x1 = xOffset + second * xStride;
                int x2 = xOffset + third * xStride;
                int x3 = xOffset + fourth * xStride;
                int y0 = yOffset + token * yStride + row;
                int y1 = yOffset + second * yStride + row;
                int y2 = yOffset + third * yStride + row;
                int y3 = yOffset + fourth * yStride + row;
                switch (matrix.elements()) {
                    case F32 -> throw new IllegalArgumentException("F32");
                    case F16 -> f16(w, at, row, blocks, x, x0, x1, x2, x3, y, y0, y1, y2, y3);
                    case BF16 -> bf16(w, at, row, blocks, x, x0, x1, x2, x3, y, y0, y1, y2, y3);
                    case Q8_0 -> q8(w, at, row, blocks, x, x0, x1, x2, x3, y, y0, y1, y2, y3);
                    case Q4_0 -> q4With8(w, at, row, blocks, x, x0, x1, x2, x3, y, y0, y1, y2, y3);
                    case Q4_1 -> q4WithMinimum(w, at, row, blocks, x, x0, x1, x2, x3, y, y0, y1, y2, y3);
                }
            }
        }
    }

    private static void f16(
            MemorySegment w,
            long at,
            int row,
            int blocks,
            float[] x,
            int x0,
            int x1,
            int x2,
            int x3,
            float[] y,
            int y0,
            int y1,
            int y2,
            int y3) {
        FloatVector s00 = FloatVector.zero(F);
        FloatVector s01 = FloatVector.zero(F);
        FloatVector s10 = FloatVector.zero(F);
        FloatVector s11 = FloatVector.zero(F);
        FloatVector s20 = FloatVector.zero(F);
        FloatVector s21 = FloatVector.zero(F);
        FloatVector s30 = FloatVector.zero(F);
        FloatVector s31 = FloatVector.zero(F);
        int words = blocks * COLUMNS / 2;
        long from = at + (long) row * Float.BYTES;
        for (int i = 0; i < words; i++) {
            long word = from + i * ROW_BYTES;
            int k = 2 * i;
            IntVector w0 = IntVector.fromMemorySegment(I, w, word, LITTLE);
            IntVector w1 = IntVector.fromMemorySegment(I, w, word + V, LITTLE);
            FloatVector f00 = w0.lanewise(VectorOperators.LSHL, 16)
                    .lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS);
            FloatVector f01 = w1.lanewise(VectorOperators.LSHL, 16)
                    .lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS);
            FloatVector b00 = FloatVector.broadcast(F, x[x0 + k]);
            s00 = f00.fma(b00, s00);
            s01 = f01.fma(b00, s01);
            FloatVector b01 = FloatVector.broadcast(F, x[x1 + k]);
            s10 = f00.fma(b01, s10);
            s11 = f01.fma(b01, s11);
            FloatVector b02 = FloatVector.broadcast(F, x[x2 + k]);
            s20 = f00.fma(b02, s20);
            s21 = f01.fma(b02, s21);
            FloatVector b03 = FloatVector.broadcast(F, x[x3 + k]);
            s30 = f00.fma(b03, s30);
            s31 = f01.fma(b03, s31);
            FloatVector f10 = w0.lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS);
            FloatVector f11 = w1.lanewise(VectorOperators.ASHR, 3)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_BIAS);
            FloatVector b10 = FloatVector.broadcast(F, x[x0 + k + 1]);
            s00 = f10.fma(b10, s00);
            s01 = f11.fma(b10, s01);
            FloatVector b11 = FloatVector.broadcast(F, x[x1 + k + 1]);
            s10 = f10.fma(b11, s10);
            s11 = f11.fma(b11, s11);
            FloatVector b12 = FloatVector.broadcast(F, x[x2 + k + 1]);
            s20 = f10.fma(b12, s20);
            s21 = f11.fma(b12, s21);
            FloatVector b13 = FloatVector.broadcast(F, x[x3 + k + 1]);
            s30 = f10.fma(b13, s30);
            s31 = f11.fma(b13, s31);
        }
        s00.intoArray(y, y0);
        s01.intoArray(y, y0 + L);
        s10.intoArray(y, y1);
        s11.intoArray(y, y1 + L);
        s20.intoArray(y, y2);
        s21.intoArray(y, y2 + L);
        s30.intoArray(y, y3);
        s31.intoArray(y, y3 + L);
    }

    private static void bf16(
            MemorySegment w,
            long at,
            int row,
            int blocks,
            float[] x,
            int x0,
            int x1,
            int x2,
            int x3,
            float[] y,
            int y0,
            int y1,
            int y2,
            int y3) {
        FloatVector s00 = FloatVector.zero(F);
        FloatVector s01 = FloatVector.zero(F);
        FloatVector s10 = FloatVector.zero(F);
        FloatVector s11 = FloatVector.zero(F);
        FloatVector s20 = FloatVector.zero(F);
        FloatVector s21 = FloatVector.zero(F);
        FloatVector s30 = FloatVector.zero(F);
        FloatVector s31 = FloatVector.zero(F);
        int words = blocks * COLUMNS / 2;
        long from = at + (long) row * Float.BYTES;
        for (int i = 0; i < words; i++) {
            long word = from + i * ROW_BYTES;
            int k = 2 * i;
            IntVector w0 = IntVector.fromMemorySegment(I, w, word, LITTLE);
            IntVector w1 = IntVector.fromMemorySegment(I, w, word + V, LITTLE);
            FloatVector f00 = w0.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats();
            FloatVector f01 = w1.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats();
            FloatVector b00 = FloatVector.broadcast(F, x[x0 + k]);
            s00 = f00.fma(b00, s00);
            s01 = f01.fma(b00, s01);
            FloatVector b01 = FloatVector.broadcast(F, x[x1 + k]);
            s10 = f00.fma(b01, s10);
            s11 = f01.fma(b01, s11);
            FloatVector b02 = FloatVector.broadcast(F, x[x2 + k]);
            s20 = f00.fma(b02, s20);
            s21 = f01.fma(b02, s21);
            FloatVector b03 = FloatVector.broadcast(F, x[x3 + k]);
            s30 = f00.fma(b03, s30);
            s31 = f01.fma(b03, s31);
            FloatVector f10 = w0.and(0xFFFF_0000).reinterpretAsFloats();
            FloatVector f11 = w1.and(0xFFFF_0000).reinterpretAsFloats();
            FloatVector b10 = FloatVector.broadcast(F, x[x0 + k + 1]);
            s00 = f10.fma(b10, s00);
            s01 = f11.fma(b10, s01);
            FloatVector b11 = FloatVector.broadcast(F, x[x1 + k + 1]);
            s10 = f10.fma(b11, s10);
            s11 = f11.fma(b11, s11);
            FloatVector b12 = FloatVector.broadcast(F, x[x2 + k + 1]);
            s20 = f10.fma(b12, s20);
            s21 = f11.fma(b12, s21);
            FloatVector b13 = FloatVector.broadcast(F, x[x3 + k + 1]);
            s30 = f10.fma(b13, s30);
            s31 = f11.fma(b13, s31);
        }
        s00.intoArray(y, y0);
        s01.intoArray(y, y0 + L);
        s10.intoArray(y, y1);
        s11.intoArray(y, y1 + L);
        s20.intoArray(y, y2);
        s21.intoArray(y, y2 + L);
        s30.intoArray(y, y3);
        s31.intoArray(y, y3 + L);
    }

    private static void q8(
            MemorySegment w,
            long at,
            int row,
            int blocks,
            float[] x,
            int x0,
            int x1,
            int x2,
            int x3,
            float[] y,
            int y0,
            int y1,
            int y2,
            int y3) {
        FloatVector s00 = FloatVector.zero(F);
        FloatVector s01 = FloatVector.zero(F);
        FloatVector s10 = FloatVector.zero(F);
        FloatVector s11 = FloatVector.zero(F);
        FloatVector s20 = FloatVector.zero(F);
        FloatVector s21 = FloatVector.zero(F);
        FloatVector s30 = FloatVector.zero(F);
        FloatVector s31 = FloatVector.zero(F);
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
            for (int i = 0; i < 8; i++) {
                long word = from + (long) HALF * Float.BYTES + i * ROW_BYTES + (long) row * Float.BYTES;
                int k = block * COLUMNS + 4 * i;
                IntVector w0 = IntVector.fromMemorySegment(I, w, word, LITTLE);
                IntVector w1 = IntVector.fromMemorySegment(I, w, word + V, LITTLE);
                FloatVector f00 = ((FloatVector) w0.lanewise(VectorOperators.LSHL, 24)
                                .lanewise(VectorOperators.ASHR, 24)
                                .convert(VectorOperators.I2F, 0))
                        .mul(d0);
                FloatVector f01 = ((FloatVector) w1.lanewise(VectorOperators.LSHL, 24)
                                .lanewise(VectorOperators.ASHR, 24)
                                .convert(VectorOperators.I2F, 0))
                        .mul(d1);
                FloatVector b00 = FloatVector.broadcast(F, x[x0 + k]);
                s00 = f00.fma(b00, s00);
                s01 = f01.fma(b00, s01);
                FloatVector b01 = FloatVector.broadcast(F, x[x1 + k]);
                s10 = f00.fma(b01, s10);
                s11 = f01.fma(b01, s11);
                FloatVector b02 = FloatVector.broadcast(F, x[x2 + k]);
                s20 = f00.fma(b02, s20);
                s21 = f01.fma(b02, s21);
                FloatVector b03 = FloatVector.broadcast(F, x[x3 + k]);
                s30 = f00.fma(b03, s30);
                s31 = f01.fma(b03, s31);
                FloatVector f10 = ((FloatVector) w0.lanewise(VectorOperators.LSHL, 16)
                                .lanewise(VectorOperators.ASHR, 24)
                                .convert(VectorOperators.I2F, 0))
                        .mul(d0);
                FloatVector f11 = ((FloatVector) w1.lanewise(VectorOperators.LSHL, 16)
                                .lanewise(VectorOperators.ASHR, 24)
                                .convert(VectorOperators.I2F, 0))
                        .mul(d1);
                FloatVector b10 = FloatVector.broadcast(F, x[x0 + k + 1]);
                s00 = f10.fma(b10, s00);
                s01 = f11.fma(b10, s01);
                FloatVector b11 = FloatVector.broadcast(F, x[x1 + k + 1]);
                s10 = f10.fma(b11, s10);
                s11 = f11.fma(b11, s11);
                FloatVector b12 = FloatVector.broadcast(F, x[x2 + k + 1]);
                s20 = f10.fma(b12, s20);
                s21 = f11.fma(b12, s21);
                FloatVector b13 = FloatVector.broadcast(F, x[x3 + k + 1]);
                s30 = f10.fma(b13, s30);
                s31 = f11.fma(b13, s31);
                FloatVector f20 = ((FloatVector) w0.lanewise(VectorOperators.LSHL, 8)
                                .lanewise(VectorOperators.ASHR, 24)
                                .convert(VectorOperators.I2F, 0))
                        .mul(d0);
                FloatVector f21 = ((FloatVector) w1.lanewise(VectorOperators.LSHL, 8)
                                .lanewise(VectorOperators.ASHR, 24)
                                .convert(VectorOperators.I2F, 0))
                        .mul(d1);
                FloatVector b20 = FloatVector.broadcast(F, x[x0 + k + 2]);
                s00 = f20.fma(b20, s00);
                s01 = f21.fma(b20, s01);
                FloatVector b21 = FloatVector.broadcast(F, x[x1 + k + 2]);
                s10 = f20.fma(b21, s10);
                s11 = f21.fma(b21, s11);
                FloatVector b22 = FloatVector.broadcast(F, x[x2 + k + 2]);
                s20 = f20.fma(b22, s20);
                s21 = f21.fma(b22, s21);
                FloatVector b23 = FloatVector.broadcast(F, x[x3 + k + 2]);
                s30 = f20.fma(b23, s30);
                s31 = f21.fma(b23, s31);
                FloatVector f30 =
                        ((FloatVector) w0.lanewise(VectorOperators.ASHR, 24).convert(VectorOperators.I2F, 0)).mul(d0);
                FloatVector f31 =
                        ((FloatVector) w1.lanewise(VectorOperators.ASHR, 24).convert(VectorOperators.I2F, 0)).mul(d1);
                FloatVector b30 = FloatVector.broadcast(F, x[x0 + k + 3]);
                s00 = f30.fma(b30, s00);
                s01 = f31.fma(b30, s01);
                FloatVector b31 = FloatVector.broadcast(F, x[x1 + k + 3]);
                s10 = f30.fma(b31, s10);
                s11 = f31.fma(b31, s11);
                FloatVector b32 = FloatVector.broadcast(F, x[x2 + k + 3]);
                s20 = f30.fma(b32, s20);
                s21 = f31.fma(b32, s21);
                FloatVector b33 = FloatVector.broadcast(F, x[x3 + k + 3]);
                s30 = f30.fma(b33, s30);
                s31 = f31.fma(b33, s31);
            }
        }
        s00.intoArray(y, y0);
        s01.intoArray(y, y0 + L);
        s10.intoArray(y, y1);
        s11.intoArray(y, y1 + L);
        s20.intoArray(y, y2);
        s21.intoArray(y, y2 + L);
        s30.intoArray(y, y3);
        s31.intoArray(y, y3 + L);
    }

    private static void q4With8(
            MemorySegment w,
            long at,
            int row,
            int blocks,
            float[] x,
            int x0,
            int x1,
            int x2,
            int x3,
            float[] y,
            int y0,
            int y1,
            int y2,
            int y3) {
        FloatVector s00 = FloatVector.zero(F);
        FloatVector s01 = FloatVector.zero(F);
        FloatVector s10 = FloatVector.zero(F);
        FloatVector s11 = FloatVector.zero(F);
        FloatVector s20 = FloatVector.zero(F);
        FloatVector s21 = FloatVector.zero(F);
        FloatVector s30 = FloatVector.zero(F);
        FloatVector s31 = FloatVector.zero(F);
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
            FloatVector m0 = d0.mul(-8);
            FloatVector m1 = d1.mul(-8);
            for (int i = 0; i < 4; i++) {
                long word = from + (long) HALF * Float.BYTES + i * ROW_BYTES + (long) row * Float.BYTES;
                int k = block * COLUMNS + 8 * i;
                IntVector w0 = IntVector.fromMemorySegment(I, w, word, LITTLE);
                IntVector w1 = IntVector.fromMemorySegment(I, w, word + V, LITTLE);
                for (int half = 0; half < 8; half += 4) {
                    FloatVector f00 = ((FloatVector) w0.and(15).convert(VectorOperators.I2F, 0)).fma(d0, m0);
                    FloatVector f01 = ((FloatVector) w1.and(15).convert(VectorOperators.I2F, 0)).fma(d1, m1);
                    FloatVector b00 = FloatVector.broadcast(F, x[x0 + k + half]);
                    s00 = f00.fma(b00, s00);
                    s01 = f01.fma(b00, s01);
                    FloatVector b01 = FloatVector.broadcast(F, x[x1 + k + half]);
                    s10 = f00.fma(b01, s10);
                    s11 = f01.fma(b01, s11);
                    FloatVector b02 = FloatVector.broadcast(F, x[x2 + k + half]);
                    s20 = f00.fma(b02, s20);
                    s21 = f01.fma(b02, s21);
                    FloatVector b03 = FloatVector.broadcast(F, x[x3 + k + half]);
                    s30 = f00.fma(b03, s30);
                    s31 = f01.fma(b03, s31);
                    FloatVector f10 = ((FloatVector)
                                    w0.lanewise(VectorOperators.LSHR, 4).and(15).convert(VectorOperators.I2F, 0))
                            .fma(d0, m0);
                    FloatVector f11 = ((FloatVector)
                                    w1.lanewise(VectorOperators.LSHR, 4).and(15).convert(VectorOperators.I2F, 0))
                            .fma(d1, m1);
                    FloatVector b10 = FloatVector.broadcast(F, x[x0 + k + half + 1]);
                    s00 = f10.fma(b10, s00);
                    s01 = f11.fma(b10, s01);
                    FloatVector b11 = FloatVector.broadcast(F, x[x1 + k + half + 1]);
                    s10 = f10.fma(b11, s10);
                    s11 = f11.fma(b11, s11);
                    FloatVector b12 = FloatVector.broadcast(F, x[x2 + k + half + 1]);
                    s20 = f10.fma(b12, s20);
                    s21 = f11.fma(b12, s21);
                    FloatVector b13 = FloatVector.broadcast(F, x[x3 + k + half + 1]);
                    s30 = f10.fma(b13, s30);
                    s31 = f11.fma(b13, s31);
                    FloatVector f20 = ((FloatVector)
                                    w0.lanewise(VectorOperators.LSHR, 8).and(15).convert(VectorOperators.I2F, 0))
                            .fma(d0, m0);
                    FloatVector f21 = ((FloatVector)
                                    w1.lanewise(VectorOperators.LSHR, 8).and(15).convert(VectorOperators.I2F, 0))
                            .fma(d1, m1);
                    FloatVector b20 = FloatVector.broadcast(F, x[x0 + k + half + 2]);
                    s00 = f20.fma(b20, s00);
                    s01 = f21.fma(b20, s01);
                    FloatVector b21 = FloatVector.broadcast(F, x[x1 + k + half + 2]);
                    s10 = f20.fma(b21, s10);
                    s11 = f21.fma(b21, s11);
                    FloatVector b22 = FloatVector.broadcast(F, x[x2 + k + half + 2]);
                    s20 = f20.fma(b22, s20);
                    s21 = f21.fma(b22, s21);
                    FloatVector b23 = FloatVector.broadcast(F, x[x3 + k + half + 2]);
                    s30 = f20.fma(b23, s30);
                    s31 = f21.fma(b23, s31);
                    FloatVector f30 = ((FloatVector) w0.lanewise(VectorOperators.LSHR, 12)
                                    .and(15)
                                    .convert(VectorOperators.I2F, 0))
                            .fma(d0, m0);
                    FloatVector f31 = ((FloatVector) w1.lanewise(VectorOperators.LSHR, 12)
                                    .and(15)
                                    .convert(VectorOperators.I2F, 0))
                            .fma(d1, m1);
                    FloatVector b30 = FloatVector.broadcast(F, x[x0 + k + half + 3]);
                    s00 = f30.fma(b30, s00);
                    s01 = f31.fma(b30, s01);
                    FloatVector b31 = FloatVector.broadcast(F, x[x1 + k + half + 3]);
                    s10 = f30.fma(b31, s10);
                    s11 = f31.fma(b31, s11);
                    FloatVector b32 = FloatVector.broadcast(F, x[x2 + k + half + 3]);
                    s20 = f30.fma(b32, s20);
                    s21 = f31.fma(b32, s21);
                    FloatVector b33 = FloatVector.broadcast(F, x[x3 + k + half + 3]);
                    s30 = f30.fma(b33, s30);
                    s31 = f31.fma(b33, s31);
                    w0 = w0.lanewise(VectorOperators.LSHR, 16);
                    w1 = w1.lanewise(VectorOperators.LSHR, 16);
                }
            }
        }
        s00.intoArray(y, y0);
        s01.intoArray(y, y0 + L);
        s10.intoArray(y, y1);
        s11.intoArray(y, y1 + L);
        s20.intoArray(y, y2);
        s21.intoArray(y, y2 + L);
        s30.intoArray(y, y3);
        s31.intoArray(y, y3 + L);
    }

    private static void q4WithMinimum(
            MemorySegment w,
            long at,
            int row,
            int blocks,
            float[] x,
            int x0,
            int x1,
            int x2,
            int x3,
            float[] y,
            int y0,
            int y1,
            int y2,
            int y3) {
        FloatVector s00 = FloatVector.zero(F);
        FloatVector s01 = FloatVector.zero(F);
        FloatVector s10 = FloatVector.zero(F);
        FloatVector s11 = FloatVector.zero(F);
        FloatVector s20 = FloatVector.zero(F);
        FloatVector s21 = FloatVector.zero(F);
        FloatVector s30 = FloatVector.zero(F);
        FloatVector s31 = FloatVector.zero(F);
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
            for (int i = 0; i < 4; i++) {
                long word = from + ROW_BYTES + i * ROW_BYTES + (long) row * Float.BYTES;
                int k = block * COLUMNS + 8 * i;
                IntVector w0 = IntVector.fromMemorySegment(I, w, word, LITTLE);
                IntVector w1 = IntVector.fromMemorySegment(I, w, word + V, LITTLE);
                for (int half = 0; half < 8; half += 4) {
                    FloatVector f00 = ((FloatVector) w0.and(15).convert(VectorOperators.I2F, 0)).fma(d0, m0);
                    FloatVector f01 = ((FloatVector) w1.and(15).convert(VectorOperators.I2F, 0)).fma(d1, m1);
                    FloatVector b00 = FloatVector.broadcast(F, x[x0 + k + half]);
                    s00 = f00.fma(b00, s00);
                    s01 = f01.fma(b00, s01);
                    FloatVector b01 = FloatVector.broadcast(F, x[x1 + k + half]);
                    s10 = f00.fma(b01, s10);
                    s11 = f01.fma(b01, s11);
                    FloatVector b02 = FloatVector.broadcast(F, x[x2 + k + half]);
                    s20 = f00.fma(b02, s20);
                    s21 = f01.fma(b02, s21);
                    FloatVector b03 = FloatVector.broadcast(F, x[x3 + k + half]);
                    s30 = f00.fma(b03, s30);
                    s31 = f01.fma(b03, s31);
                    FloatVector f10 = ((FloatVector)
                                    w0.lanewise(VectorOperators.LSHR, 4).and(15).convert(VectorOperators.I2F, 0))
                            .fma(d0, m0);
                    FloatVector f11 = ((FloatVector)
                                    w1.lanewise(VectorOperators.LSHR, 4).and(15).convert(VectorOperators.I2F, 0))
                            .fma(d1, m1);
                    FloatVector b10 = FloatVector.broadcast(F, x[x0 + k + half + 1]);
                    s00 = f10.fma(b10, s00);
                    s01 = f11.fma(b10, s01);
                    FloatVector b11 = FloatVector.broadcast(F, x[x1 + k + half + 1]);
                    s10 = f10.fma(b11, s10);
                    s11 = f11.fma(b11, s11);
                    FloatVector b12 = FloatVector.broadcast(F, x[x2 + k + half + 1]);
                    s20 = f10.fma(b12, s20);
                    s21 = f11.fma(b12, s21);
                    FloatVector b13 = FloatVector.broadcast(F, x[x3 + k + half + 1]);
                    s30 = f10.fma(b13, s30);
                    s31 = f11.fma(b13, s31);
                    FloatVector f20 = ((FloatVector)
                                    w0.lanewise(VectorOperators.LSHR, 8).and(15).convert(VectorOperators.I2F, 0))
                            .fma(d0, m0);
                    FloatVector f21 = ((FloatVector)
                                    w1.lanewise(VectorOperators.LSHR, 8).and(15).convert(VectorOperators.I2F, 0))
                            .fma(d1, m1);
                    FloatVector b20 = FloatVector.broadcast(F, x[x0 + k + half + 2]);
                    s00 = f20.fma(b20, s00);
                    s01 = f21.fma(b20, s01);
                    FloatVector b21 = FloatVector.broadcast(F, x[x1 + k + half + 2]);
                    s10 = f20.fma(b21, s10);
                    s11 = f21.fma(b21, s11);
                    FloatVector b22 = FloatVector.broadcast(F, x[x2 + k + half + 2]);
                    s20 = f20.fma(b22, s20);
                    s21 = f21.fma(b22, s21);
                    FloatVector b23 = FloatVector.broadcast(F, x[x3 + k + half + 2]);
                    s30 = f20.fma(b23, s30);
                    s31 = f21.fma(b23, s31);
                    FloatVector f30 = ((FloatVector) w0.lanewise(VectorOperators.LSHR, 12)
                                    .and(15)
                                    .convert(VectorOperators.I2F, 0))
                            .fma(d0, m0);
                    FloatVector f31 = ((FloatVector) w1.lanewise(VectorOperators.LSHR, 12)
                                    .and(15)
                                    .convert(VectorOperators.I2F, 0))
                            .fma(d1, m1);
                    FloatVector b30 = FloatVector.broadcast(F, x[x0 + k + half + 3]);
                    s00 = f30.fma(b30, s00);
                    s01 = f31.fma(b30, s01);
                    FloatVector b31 = FloatVector.broadcast(F, x[x1 + k + half + 3]);
                    s10 = f30.fma(b31, s10);
                    s11 = f31.fma(b31, s11);
                    FloatVector b32 = FloatVector.broadcast(F, x[x2 + k + half + 3]);
                    s20 = f30.fma(b32, s20);
                    s21 = f31.fma(b32, s21);
                    FloatVector b33 = FloatVector.broadcast(F, x[x3 + k + half + 3]);
                    s30 = f30.fma(b33, s30);
                    s31 = f31.fma(b33, s31);
                    w0 = w0.lanewise(VectorOperators.LSHR, 16);
                    w1 = w1.lanewise(VectorOperators.LSHR, 16);
                }
            }
        }
        s00.intoArray(y, y0);
        s01.intoArray(y, y0 + L);
        s10.intoArray(y, y1);
        s11.intoArray(y, y1 + L);
        s20.intoArray(y, y2);
        s21.intoArray(y, y2 + L);
        s30.intoArray(y, y3);
        s31.intoArray(y, y3 + L);
    }
}
