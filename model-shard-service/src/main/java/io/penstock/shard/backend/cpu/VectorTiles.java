package io.penstock.shard.backend.cpu;

import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/// Products of unpacked weights with several tokens' vectors: register tiles of tokens x vectors of rows.
///
/// A tile's sums stay in registers over all columns given, so each weight and each activation is loaded
/// once a tile and not once a product. How many sums there are room for depends on the machine: AVX-512
/// has 32 registers, AVX2 16. `tileTxN` computes T tokens by N vectors of rows. Written out, for the
/// compiler keeps no array in registers.
final class VectorTiles {
    private static final VectorSpecies<Float> F = VectorWidth.FLOATS;
    private static final ByteOrder LITTLE = ByteOrder.LITTLE_ENDIAN;
    /// Lanes and bytes of a vector.
    private static final int L = F.length();
    private static final long V = F.vectorByteSize();

    private static final int ROWS = PackedMatrix.PANEL_ROWS;
    private static final long ROW_BYTES = (long) ROWS * Float.BYTES;

    private VectorTiles() {}

    /// Continues the sums in `y`.
    ///
    /// @param weights `[columns, 64]` floats from byte `at`
    static void multiply(
            MemorySegment weights,
            long at,
            int columns,
            float[] x,
            int xOffset,
            int xStride,
            int tokens,
            float[] y,
            int yOffset,
            int yStride) {
        if (L == 16) {
            wide(weights, at, columns, x, xOffset, xStride, tokens, y, yOffset, yStride);
            return;
        }
        for (int row = 0; row < ROWS; row += 2 * L) {
            long from = at + (long) row * Float.BYTES;
            narrow(weights, from, columns, x, xOffset, xStride, tokens, y, yOffset + row, yStride);
        }
    }

    private static void wide(
            MemorySegment w, long at, int columns, float[] x, int x0, int xs, int tokens, float[] y, int y0, int ys) {
        int token = 0;
        for (; token + 6 <= tokens; token += 6) {
            tile6x4(w, at, columns, x, x0 + token * xs, xs, y, y0 + token * ys, ys);
        }
        if (token + 4 <= tokens) {
            tile4x4(w, at, columns, x, x0 + token * xs, xs, y, y0 + token * ys, ys);
            token += 4;
        }
        if (token + 2 <= tokens) {
            tile2x4(w, at, columns, x, x0 + token * xs, xs, y, y0 + token * ys, ys);
            token += 2;
        }
        if (token < tokens) {
            tile1x4(w, at, columns, x, x0 + token * xs, y, y0 + token * ys);
        }
    }

    private static void narrow(
            MemorySegment w, long at, int columns, float[] x, int x0, int xs, int tokens, float[] y, int y0, int ys) {
        int token = 0;
        for (; token + 6 <= tokens; token += 6) {
            tile6x2(w, at, columns, x, x0 + token * xs, xs, y, y0 + token * ys, ys);
        }
        for (; token + 2 <= tokens; token += 2) {
            tile2x2(w, at, columns, x, x0 + token * xs, xs, y, y0 + token * ys, ys);
        }
        if (token < tokens) {
            tile1x2(w, at, columns, x, x0 + token * xs, y, y0 + token * ys);
        }
    }

    private static void tile6x4(
            MemorySegment w, long at, int columns, float[] x, int x0, int xs, float[] y, int y0, int ys) {
        int x1 = x0 + xs;
        int x2 = x1 + xs;
        int x3 = x2 + xs;
        int x4 = x3 + xs;
        int x5 = x4 + xs;
        int o0 = y0;
        FloatVector s00 = FloatVector.fromArray(F, y, o0);
        FloatVector s01 = FloatVector.fromArray(F, y, o0 + L);
        FloatVector s02 = FloatVector.fromArray(F, y, o0 + 2 * L);
        FloatVector s03 = FloatVector.fromArray(F, y, o0 + 3 * L);
        int o1 = y0 + ys;
        FloatVector s10 = FloatVector.fromArray(F, y, o1);
        FloatVector s11 = FloatVector.fromArray(F, y, o1 + L);
        FloatVector s12 = FloatVector.fromArray(F, y, o1 + 2 * L);
        FloatVector s13 = FloatVector.fromArray(F, y, o1 + 3 * L);
        int o2 = y0 + 2 * ys;
        FloatVector s20 = FloatVector.fromArray(F, y, o2);
        FloatVector s21 = FloatVector.fromArray(F, y, o2 + L);
        FloatVector s22 = FloatVector.fromArray(F, y, o2 + 2 * L);
        FloatVector s23 = FloatVector.fromArray(F, y, o2 + 3 * L);
        int o3 = y0 + 3 * ys;
        FloatVector s30 = FloatVector.fromArray(F, y, o3);
        FloatVector s31 = FloatVector.fromArray(F, y, o3 + L);
        FloatVector s32 = FloatVector.fromArray(F, y, o3 + 2 * L);
        FloatVector s33 = FloatVector.fromArray(F, y, o3 + 3 * L);
        int o4 = y0 + 4 * ys;
        FloatVector s40 = FloatVector.fromArray(F, y, o4);
        FloatVector s41 = FloatVector.fromArray(F, y, o4 + L);
        FloatVector s42 = FloatVector.fromArray(F, y, o4 + 2 * L);
        FloatVector s43 = FloatVector.fromArray(F, y, o4 + 3 * L);
        int o5 = y0 + 5 * ys;
        FloatVector s50 = FloatVector.fromArray(F, y, o5);
        FloatVector s51 = FloatVector.fromArray(F, y, o5 + L);
        FloatVector s52 = FloatVector.fromArray(F, y, o5 + 2 * L);
        FloatVector s53 = FloatVector.fromArray(F, y, o5 + 3 * L);
        for (int k = 0; k < columns; k++) {
            long row = at + k * ROW_BYTES;
            FloatVector w0 = FloatVector.fromMemorySegment(F, w, row, LITTLE);
            FloatVector w1 = FloatVector.fromMemorySegment(F, w, row + V, LITTLE);
            FloatVector w2 = FloatVector.fromMemorySegment(F, w, row + 2 * V, LITTLE);
            FloatVector w3 = FloatVector.fromMemorySegment(F, w, row + 3 * V, LITTLE);
            FloatVector b0 = FloatVector.broadcast(F, x[x0 + k]);
            s00 = w0.fma(b0, s00);
            s01 = w1.fma(b0, s01);
            s02 = w2.fma(b0, s02);
            s03 = w3.fma(b0, s03);
            FloatVector b1 = FloatVector.broadcast(F, x[x1 + k]);
            s10 = w0.fma(b1, s10);
            s11 = w1.fma(b1, s11);
            s12 = w2.fma(b1, s12);
            s13 = w3.fma(b1, s13);
            FloatVector b2 = FloatVector.broadcast(F, x[x2 + k]);
            s20 = w0.fma(b2, s20);
            s21 = w1.fma(b2, s21);
            s22 = w2.fma(b2, s22);
            s23 = w3.fma(b2, s23);
            FloatVector b3 = FloatVector.broadcast(F, x[x3 + k]);
            s30 = w0.fma(b3, s30);
            s31 = w1.fma(b3, s31);
            s32 = w2.fma(b3, s32);
            s33 = w3.fma(b3, s33);
            FloatVector b4 = FloatVector.broadcast(F, x[x4 + k]);
            s40 = w0.fma(b4, s40);
            s41 = w1.fma(b4, s41);
            s42 = w2.fma(b4, s42);
            s43 = w3.fma(b4, s43);
            FloatVector b5 = FloatVector.broadcast(F, x[x5 + k]);
            s50 = w0.fma(b5, s50);
            s51 = w1.fma(b5, s51);
            s52 = w2.fma(b5, s52);
            s53 = w3.fma(b5, s53);
        }
        s00.intoArray(y, o0);
        s01.intoArray(y, o0 + L);
        s02.intoArray(y, o0 + 2 * L);
        s03.intoArray(y, o0 + 3 * L);
        s10.intoArray(y, o1);
        s11.intoArray(y, o1 + L);
        s12.intoArray(y, o1 + 2 * L);
        s13.intoArray(y, o1 + 3 * L);
        s20.intoArray(y, o2);
        s21.intoArray(y, o2 + L);
        s22.intoArray(y, o2 + 2 * L);
        s23.intoArray(y, o2 + 3 * L);
        s30.intoArray(y, o3);
        s31.intoArray(y, o3 + L);
        s32.intoArray(y, o3 + 2 * L);
        s33.intoArray(y, o3 + 3 * L);
        s40.intoArray(y, o4);
        s41.intoArray(y, o4 + L);
        s42.intoArray(y, o4 + 2 * L);
        s43.intoArray(y, o4 + 3 * L);
        s50.intoArray(y, o5);
        s51.intoArray(y, o5 + L);
        s52.intoArray(y, o5 + 2 * L);
        s53.intoArray(y, o5 + 3 * L);
    }

    private static void tile4x4(
            MemorySegment w, long at, int columns, float[] x, int x0, int xs, float[] y, int y0, int ys) {
        int x1 = x0 + xs;
        int x2 = x1 + xs;
        int x3 = x2 + xs;
        int o0 = y0;
        FloatVector s00 = FloatVector.fromArray(F, y, o0);
        FloatVector s01 = FloatVector.fromArray(F, y, o0 + L);
        FloatVector s02 = FloatVector.fromArray(F, y, o0 + 2 * L);
        FloatVector s03 = FloatVector.fromArray(F, y, o0 + 3 * L);
        int o1 = y0 + ys;
        FloatVector s10 = FloatVector.fromArray(F, y, o1);
        FloatVector s11 = FloatVector.fromArray(F, y, o1 + L);
        FloatVector s12 = FloatVector.fromArray(F, y, o1 + 2 * L);
        FloatVector s13 = FloatVector.fromArray(F, y, o1 + 3 * L);
        int o2 = y0 + 2 * ys;
        FloatVector s20 = FloatVector.fromArray(F, y, o2);
        FloatVector s21 = FloatVector.fromArray(F, y, o2 + L);
        FloatVector s22 = FloatVector.fromArray(F, y, o2 + 2 * L);
        FloatVector s23 = FloatVector.fromArray(F, y, o2 + 3 * L);
        int o3 = y0 + 3 * ys;
        FloatVector s30 = FloatVector.fromArray(F, y, o3);
        FloatVector s31 = FloatVector.fromArray(F, y, o3 + L);
        FloatVector s32 = FloatVector.fromArray(F, y, o3 + 2 * L);
        FloatVector s33 = FloatVector.fromArray(F, y, o3 + 3 * L);
        for (int k = 0; k < columns; k++) {
            long row = at + k * ROW_BYTES;
            FloatVector w0 = FloatVector.fromMemorySegment(F, w, row, LITTLE);
            FloatVector w1 = FloatVector.fromMemorySegment(F, w, row + V, LITTLE);
            FloatVector w2 = FloatVector.fromMemorySegment(F, w, row + 2 * V, LITTLE);
            FloatVector w3 = FloatVector.fromMemorySegment(F, w, row + 3 * V, LITTLE);
            FloatVector b0 = FloatVector.broadcast(F, x[x0 + k]);
            s00 = w0.fma(b0, s00);
            s01 = w1.fma(b0, s01);
            s02 = w2.fma(b0, s02);
            s03 = w3.fma(b0, s03);
            FloatVector b1 = FloatVector.broadcast(F, x[x1 + k]);
            s10 = w0.fma(b1, s10);
            s11 = w1.fma(b1, s11);
            s12 = w2.fma(b1, s12);
            s13 = w3.fma(b1, s13);
            FloatVector b2 = FloatVector.broadcast(F, x[x2 + k]);
            s20 = w0.fma(b2, s20);
            s21 = w1.fma(b2, s21);
            s22 = w2.fma(b2, s22);
            s23 = w3.fma(b2, s23);
            FloatVector b3 = FloatVector.broadcast(F, x[x3 + k]);
            s30 = w0.fma(b3, s30);
            s31 = w1.fma(b3, s31);
            s32 = w2.fma(b3, s32);
            s33 = w3.fma(b3, s33);
        }
        s00.intoArray(y, o0);
        s01.intoArray(y, o0 + L);
        s02.intoArray(y, o0 + 2 * L);
        s03.intoArray(y, o0 + 3 * L);
        s10.intoArray(y, o1);
        s11.intoArray(y, o1 + L);
        s12.intoArray(y, o1 + 2 * L);
        s13.intoArray(y, o1 + 3 * L);
        s20.intoArray(y, o2);
        s21.intoArray(y, o2 + L);
        s22.intoArray(y, o2 + 2 * L);
        s23.intoArray(y, o2 + 3 * L);
        s30.intoArray(y, o3);
        s31.intoArray(y, o3 + L);
        s32.intoArray(y, o3 + 2 * L);
        s33.intoArray(y, o3 + 3 * L);
    }

    private static void tile2x4(
            MemorySegment w, long at, int columns, float[] x, int x0, int xs, float[] y, int y0, int ys) {
        int x1 = x0 + xs;
        int o0 = y0;
        FloatVector s00 = FloatVector.fromArray(F, y, o0);
        FloatVector s01 = FloatVector.fromArray(F, y, o0 + L);
        FloatVector s02 = FloatVector.fromArray(F, y, o0 + 2 * L);
        FloatVector s03 = FloatVector.fromArray(F, y, o0 + 3 * L);
        int o1 = y0 + ys;
        FloatVector s10 = FloatVector.fromArray(F, y, o1);
        FloatVector s11 = FloatVector.fromArray(F, y, o1 + L);
        FloatVector s12 = FloatVector.fromArray(F, y, o1 + 2 * L);
        FloatVector s13 = FloatVector.fromArray(F, y, o1 + 3 * L);
        for (int k = 0; k < columns; k++) {
            long row = at + k * ROW_BYTES;
            FloatVector w0 = FloatVector.fromMemorySegment(F, w, row, LITTLE);
            FloatVector w1 = FloatVector.fromMemorySegment(F, w, row + V, LITTLE);
            FloatVector w2 = FloatVector.fromMemorySegment(F, w, row + 2 * V, LITTLE);
            FloatVector w3 = FloatVector.fromMemorySegment(F, w, row + 3 * V, LITTLE);
            FloatVector b0 = FloatVector.broadcast(F, x[x0 + k]);
            s00 = w0.fma(b0, s00);
            s01 = w1.fma(b0, s01);
            s02 = w2.fma(b0, s02);
            s03 = w3.fma(b0, s03);
            FloatVector b1 = FloatVector.broadcast(F, x[x1 + k]);
            s10 = w0.fma(b1, s10);
            s11 = w1.fma(b1, s11);
            s12 = w2.fma(b1, s12);
            s13 = w3.fma(b1, s13);
        }
        s00.intoArray(y, o0);
        s01.intoArray(y, o0 + L);
        s02.intoArray(y, o0 + 2 * L);
        s03.intoArray(y, o0 + 3 * L);
        s10.intoArray(y, o1);
        s11.intoArray(y, o1 + L);
        s12.intoArray(y, o1 + 2 * L);
        s13.intoArray(y, o1 + 3 * L);
    }

    private static void tile1x4(MemorySegment w, long at, int columns, float[] x, int x0, float[] y, int y0) {
        int o0 = y0;
        FloatVector s00 = FloatVector.fromArray(F, y, o0);
        FloatVector s01 = FloatVector.fromArray(F, y, o0 + L);
        FloatVector s02 = FloatVector.fromArray(F, y, o0 + 2 * L);
        FloatVector s03 = FloatVector.fromArray(F, y, o0 + 3 * L);
        for (int k = 0; k < columns; k++) {
            long row = at + k * ROW_BYTES;
            FloatVector w0 = FloatVector.fromMemorySegment(F, w, row, LITTLE);
            FloatVector w1 = FloatVector.fromMemorySegment(F, w, row + V, LITTLE);
            FloatVector w2 = FloatVector.fromMemorySegment(F, w, row + 2 * V, LITTLE);
            FloatVector w3 = FloatVector.fromMemorySegment(F, w, row + 3 * V, LITTLE);
            FloatVector b0 = FloatVector.broadcast(F, x[x0 + k]);
            s00 = w0.fma(b0, s00);
            s01 = w1.fma(b0, s01);
            s02 = w2.fma(b0, s02);
            s03 = w3.fma(b0, s03);
        }
        s00.intoArray(y, o0);
        s01.intoArray(y, o0 + L);
        s02.intoArray(y, o0 + 2 * L);
        s03.intoArray(y, o0 + 3 * L);
    }

    private static void tile6x2(
            MemorySegment w, long at, int columns, float[] x, int x0, int xs, float[] y, int y0, int ys) {
        int x1 = x0 + xs;
        int x2 = x1 + xs;
        int x3 = x2 + xs;
        int x4 = x3 + xs;
        int x5 = x4 + xs;
        int o0 = y0;
        FloatVector s00 = FloatVector.fromArray(F, y, o0);
        FloatVector s01 = FloatVector.fromArray(F, y, o0 + L);
        int o1 = y0 + ys;
        FloatVector s10 = FloatVector.fromArray(F, y, o1);
        FloatVector s11 = FloatVector.fromArray(F, y, o1 + L);
        int o2 = y0 + 2 * ys;
        FloatVector s20 = FloatVector.fromArray(F, y, o2);
        FloatVector s21 = FloatVector.fromArray(F, y, o2 + L);
        int o3 = y0 + 3 * ys;
        FloatVector s30 = FloatVector.fromArray(F, y, o3);
        FloatVector s31 = FloatVector.fromArray(F, y, o3 + L);
        int o4 = y0 + 4 * ys;
        FloatVector s40 = FloatVector.fromArray(F, y, o4);
        FloatVector s41 = FloatVector.fromArray(F, y, o4 + L);
        int o5 = y0 + 5 * ys;
        FloatVector s50 = FloatVector.fromArray(F, y, o5);
        FloatVector s51 = FloatVector.fromArray(F, y, o5 + L);
        for (int k = 0; k < columns; k++) {
            long row = at + k * ROW_BYTES;
            FloatVector w0 = FloatVector.fromMemorySegment(F, w, row, LITTLE);
            FloatVector w1 = FloatVector.fromMemorySegment(F, w, row + V, LITTLE);
            FloatVector b0 = FloatVector.broadcast(F, x[x0 + k]);
            s00 = w0.fma(b0, s00);
            s01 = w1.fma(b0, s01);
            FloatVector b1 = FloatVector.broadcast(F, x[x1 + k]);
            s10 = w0.fma(b1, s10);
            s11 = w1.fma(b1, s11);
            FloatVector b2 = FloatVector.broadcast(F, x[x2 + k]);
            s20 = w0.fma(b2, s20);
            s21 = w1.fma(b2, s21);
            FloatVector b3 = FloatVector.broadcast(F, x[x3 + k]);
            s30 = w0.fma(b3, s30);
            s31 = w1.fma(b3, s31);
            FloatVector b4 = FloatVector.broadcast(F, x[x4 + k]);
            s40 = w0.fma(b4, s40);
            s41 = w1.fma(b4, s41);
            FloatVector b5 = FloatVector.broadcast(F, x[x5 + k]);
            s50 = w0.fma(b5, s50);
            s51 = w1.fma(b5, s51);
        }
        s00.intoArray(y, o0);
        s01.intoArray(y, o0 + L);
        s10.intoArray(y, o1);
        s11.intoArray(y, o1 + L);
        s20.intoArray(y, o2);
        s21.intoArray(y, o2 + L);
        s30.intoArray(y, o3);
        s31.intoArray(y, o3 + L);
        s40.intoArray(y, o4);
        s41.intoArray(y, o4 + L);
        s50.intoArray(y, o5);
        s51.intoArray(y, o5 + L);
    }

    private static void tile2x2(
            MemorySegment w, long at, int columns, float[] x, int x0, int xs, float[] y, int y0, int ys) {
        int x1 = x0 + xs;
        int o0 = y0;
        FloatVector s00 = FloatVector.fromArray(F, y, o0);
        FloatVector s01 = FloatVector.fromArray(F, y, o0 + L);
        int o1 = y0 + ys;
        FloatVector s10 = FloatVector.fromArray(F, y, o1);
        FloatVector s11 = FloatVector.fromArray(F, y, o1 + L);
        for (int k = 0; k < columns; k++) {
            long row = at + k * ROW_BYTES;
            FloatVector w0 = FloatVector.fromMemorySegment(F, w, row, LITTLE);
            FloatVector w1 = FloatVector.fromMemorySegment(F, w, row + V, LITTLE);
            FloatVector b0 = FloatVector.broadcast(F, x[x0 + k]);
            s00 = w0.fma(b0, s00);
            s01 = w1.fma(b0, s01);
            FloatVector b1 = FloatVector.broadcast(F, x[x1 + k]);
            s10 = w0.fma(b1, s10);
            s11 = w1.fma(b1, s11);
        }
        s00.intoArray(y, o0);
        s01.intoArray(y, o0 + L);
        s10.intoArray(y, o1);
        s11.intoArray(y, o1 + L);
    }

    private static void tile1x2(MemorySegment w, long at, int columns, float[] x, int x0, float[] y, int y0) {
        int o0 = y0;
        FloatVector s00 = FloatVector.fromArray(F, y, o0);
        FloatVector s01 = FloatVector.fromArray(F, y, o0 + L);
        for (int k = 0; k < columns; k++) {
            long row = at + k * ROW_BYTES;
            FloatVector w0 = FloatVector.fromMemorySegment(F, w, row, LITTLE);
            FloatVector w1 = FloatVector.fromMemorySegment(F, w, row + V, LITTLE);
            FloatVector b0 = FloatVector.broadcast(F, x[x0 + k]);
            s00 = w0.fma(b0, s00);
            s01 = w1.fma(b0, s01);
        }
        s00.intoArray(y, o0);
        s01.intoArray(y, o0 + L);
    }
}
