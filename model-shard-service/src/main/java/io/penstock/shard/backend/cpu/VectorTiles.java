package io.penstock.shard.backend.cpu;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/// Products of unpacked weights with several tokens' vectors: register tiles of tokens x vectors of rows.
///
/// A tile's sums stay in registers over a block's columns, so each weight and each activation is loaded
/// once a tile and not once a product. How many sums there are room for depends on the machine: AVX-512
/// has 32 registers, AVX2 16. `tileTxN` computes T tokens by N vectors of rows. Longer than other files,
/// since each is written out: the compiler keeps no array in registers, and makes an object of a vector that
/// one method hands to another.
final class VectorTiles {
    private static final VectorSpecies<Float> F = VectorWidth.FLOATS;
    /// Lanes of a vector.
    private static final int L = F.length();

    private static final int ROWS = PackedMatrix.PANEL_ROWS;
    private static final int COLUMNS = PackedMatrix.BLOCK_COLUMNS;

    private VectorTiles() {}

    /// Adds the products of some blocks to `y`, block by block as [Kernels#multiply] says.
    ///
    /// @param w levels, `[blocks, 32, 64]` from `at`, and `[blocks, 2, 64]` from `scalesAt`: scales, then
    ///     minima
    /// @param sums of the tokens' blocks, from `n0 + token * ns`; null if there are no minima
    static void multiply(
            float[] w,
            int at,
            int scalesAt,
            int blocks,
            float[] x,
            int x0,
            int xs,
            int tokens,
            float[] sums,
            int n0,
            int ns,
            float[] y,
            int y0,
            int ys) {
        int token = 0;
        for (; token + 6 <= tokens; token += 6) {
            rows(6, w, at, scalesAt, blocks, x, x0, xs, sums, n0, ns, y, y0, ys);
            x0 += 6 * xs;
            n0 += 6 * ns;
            y0 += 6 * ys;
        }
        if (token + 4 <= tokens) {
            rows(4, w, at, scalesAt, blocks, x, x0, xs, sums, n0, ns, y, y0, ys);
            token += 4;
            x0 += 4 * xs;
            n0 += 4 * ns;
            y0 += 4 * ys;
        }
        if (token + 2 <= tokens) {
            rows(2, w, at, scalesAt, blocks, x, x0, xs, sums, n0, ns, y, y0, ys);
            token += 2;
            x0 += 2 * xs;
            n0 += 2 * ns;
            y0 += 2 * ys;
        }
        if (token < tokens) {
            rows(1, w, at, scalesAt, blocks, x, x0, xs, sums, n0, ns, y, y0, ys);
        }
    }

    /// All rows of a tile's tokens: as many vectors of them at a time as there are registers for.
    private static void rows(
            int tokens,
            float[] w,
            int at,
            int scalesAt,
            int blocks,
            float[] x,
            int x0,
            int xs,
            float[] sums,
            int n0,
            int ns,
            float[] y,
            int y0,
            int ys) {
        int vectors = tokens < 4 || L == 16 ? 4 : 2;
        for (int row = 0; row < ROWS; row += vectors * L) {
            int from = at + row;
            int scale = scalesAt + row;
            int to = y0 + row;
            for (int block = 0; block < blocks; block++) {
                int c = x0 + block * COLUMNS;
                int n = n0 + block;
                switch (tokens) {
                    case 6 -> {
                        if (L == 16) {
                            tile6x4(w, from, scale, x, c, xs, sums, n, ns, y, to, ys);
                        } else {
                            tile6x2(w, from, scale, x, c, xs, sums, n, ns, y, to, ys);
                        }
                    }
                    case 4 -> {
                        if (L == 16) {
                            tile4x4(w, from, scale, x, c, xs, sums, n, ns, y, to, ys);
                        } else {
                            tile4x2(w, from, scale, x, c, xs, sums, n, ns, y, to, ys);
                        }
                    }
                    case 2 -> tile2x4(w, from, scale, x, c, xs, sums, n, ns, y, to, ys);
                    default -> tile1x4(w, from, scale, x, c, sums, n, y, to);
                }
                from += COLUMNS * ROWS;
                scale += 2 * ROWS;
            }
        }
    }

    private static void tile6x4(
            float[] w,
            int at,
            int scale,
            float[] x,
            int x0,
            int xs,
            float[] sums,
            int n0,
            int ns,
            float[] y,
            int y0,
            int ys) {
        int x1 = x0 + xs;
        int y1 = y0 + ys;
        int x2 = x1 + xs;
        int y2 = y1 + ys;
        int x3 = x2 + xs;
        int y3 = y2 + ys;
        int x4 = x3 + xs;
        int y4 = y3 + ys;
        int x5 = x4 + xs;
        int y5 = y4 + ys;
        FloatVector s00 = FloatVector.zero(F);
        FloatVector s01 = FloatVector.zero(F);
        FloatVector s02 = FloatVector.zero(F);
        FloatVector s03 = FloatVector.zero(F);
        FloatVector s10 = FloatVector.zero(F);
        FloatVector s11 = FloatVector.zero(F);
        FloatVector s12 = FloatVector.zero(F);
        FloatVector s13 = FloatVector.zero(F);
        FloatVector s20 = FloatVector.zero(F);
        FloatVector s21 = FloatVector.zero(F);
        FloatVector s22 = FloatVector.zero(F);
        FloatVector s23 = FloatVector.zero(F);
        FloatVector s30 = FloatVector.zero(F);
        FloatVector s31 = FloatVector.zero(F);
        FloatVector s32 = FloatVector.zero(F);
        FloatVector s33 = FloatVector.zero(F);
        FloatVector s40 = FloatVector.zero(F);
        FloatVector s41 = FloatVector.zero(F);
        FloatVector s42 = FloatVector.zero(F);
        FloatVector s43 = FloatVector.zero(F);
        FloatVector s50 = FloatVector.zero(F);
        FloatVector s51 = FloatVector.zero(F);
        FloatVector s52 = FloatVector.zero(F);
        FloatVector s53 = FloatVector.zero(F);
        for (int k = 0; k < COLUMNS; k++) {
            int row = at + k * ROWS;
            FloatVector w0 = FloatVector.fromArray(F, w, row);
            FloatVector w1 = FloatVector.fromArray(F, w, row + L);
            FloatVector w2 = FloatVector.fromArray(F, w, row + 2 * L);
            FloatVector w3 = FloatVector.fromArray(F, w, row + 3 * L);
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
        if (sums != null) {
            FloatVector m0 = FloatVector.fromArray(F, w, scale + ROWS);
            FloatVector m1 = FloatVector.fromArray(F, w, scale + ROWS + L);
            FloatVector m2 = FloatVector.fromArray(F, w, scale + ROWS + 2 * L);
            FloatVector m3 = FloatVector.fromArray(F, w, scale + ROWS + 3 * L);
            FloatVector sum0 = FloatVector.broadcast(F, sums[n0]);
            m0.fma(sum0, FloatVector.fromArray(F, y, y0)).intoArray(y, y0);
            m1.fma(sum0, FloatVector.fromArray(F, y, y0 + L)).intoArray(y, y0 + L);
            m2.fma(sum0, FloatVector.fromArray(F, y, y0 + 2 * L)).intoArray(y, y0 + 2 * L);
            m3.fma(sum0, FloatVector.fromArray(F, y, y0 + 3 * L)).intoArray(y, y0 + 3 * L);
            FloatVector sum1 = FloatVector.broadcast(F, sums[n0 + ns]);
            m0.fma(sum1, FloatVector.fromArray(F, y, y1)).intoArray(y, y1);
            m1.fma(sum1, FloatVector.fromArray(F, y, y1 + L)).intoArray(y, y1 + L);
            m2.fma(sum1, FloatVector.fromArray(F, y, y1 + 2 * L)).intoArray(y, y1 + 2 * L);
            m3.fma(sum1, FloatVector.fromArray(F, y, y1 + 3 * L)).intoArray(y, y1 + 3 * L);
            FloatVector sum2 = FloatVector.broadcast(F, sums[n0 + 2 * ns]);
            m0.fma(sum2, FloatVector.fromArray(F, y, y2)).intoArray(y, y2);
            m1.fma(sum2, FloatVector.fromArray(F, y, y2 + L)).intoArray(y, y2 + L);
            m2.fma(sum2, FloatVector.fromArray(F, y, y2 + 2 * L)).intoArray(y, y2 + 2 * L);
            m3.fma(sum2, FloatVector.fromArray(F, y, y2 + 3 * L)).intoArray(y, y2 + 3 * L);
            FloatVector sum3 = FloatVector.broadcast(F, sums[n0 + 3 * ns]);
            m0.fma(sum3, FloatVector.fromArray(F, y, y3)).intoArray(y, y3);
            m1.fma(sum3, FloatVector.fromArray(F, y, y3 + L)).intoArray(y, y3 + L);
            m2.fma(sum3, FloatVector.fromArray(F, y, y3 + 2 * L)).intoArray(y, y3 + 2 * L);
            m3.fma(sum3, FloatVector.fromArray(F, y, y3 + 3 * L)).intoArray(y, y3 + 3 * L);
            FloatVector sum4 = FloatVector.broadcast(F, sums[n0 + 4 * ns]);
            m0.fma(sum4, FloatVector.fromArray(F, y, y4)).intoArray(y, y4);
            m1.fma(sum4, FloatVector.fromArray(F, y, y4 + L)).intoArray(y, y4 + L);
            m2.fma(sum4, FloatVector.fromArray(F, y, y4 + 2 * L)).intoArray(y, y4 + 2 * L);
            m3.fma(sum4, FloatVector.fromArray(F, y, y4 + 3 * L)).intoArray(y, y4 + 3 * L);
            FloatVector sum5 = FloatVector.broadcast(F, sums[n0 + 5 * ns]);
            m0.fma(sum5, FloatVector.fromArray(F, y, y5)).intoArray(y, y5);
            m1.fma(sum5, FloatVector.fromArray(F, y, y5 + L)).intoArray(y, y5 + L);
            m2.fma(sum5, FloatVector.fromArray(F, y, y5 + 2 * L)).intoArray(y, y5 + 2 * L);
            m3.fma(sum5, FloatVector.fromArray(F, y, y5 + 3 * L)).intoArray(y, y5 + 3 * L);
        }
        FloatVector d0 = FloatVector.fromArray(F, w, scale);
        FloatVector d1 = FloatVector.fromArray(F, w, scale + L);
        FloatVector d2 = FloatVector.fromArray(F, w, scale + 2 * L);
        FloatVector d3 = FloatVector.fromArray(F, w, scale + 3 * L);
        s00.fma(d0, FloatVector.fromArray(F, y, y0)).intoArray(y, y0);
        s01.fma(d1, FloatVector.fromArray(F, y, y0 + L)).intoArray(y, y0 + L);
        s02.fma(d2, FloatVector.fromArray(F, y, y0 + 2 * L)).intoArray(y, y0 + 2 * L);
        s03.fma(d3, FloatVector.fromArray(F, y, y0 + 3 * L)).intoArray(y, y0 + 3 * L);
        s10.fma(d0, FloatVector.fromArray(F, y, y1)).intoArray(y, y1);
        s11.fma(d1, FloatVector.fromArray(F, y, y1 + L)).intoArray(y, y1 + L);
        s12.fma(d2, FloatVector.fromArray(F, y, y1 + 2 * L)).intoArray(y, y1 + 2 * L);
        s13.fma(d3, FloatVector.fromArray(F, y, y1 + 3 * L)).intoArray(y, y1 + 3 * L);
        s20.fma(d0, FloatVector.fromArray(F, y, y2)).intoArray(y, y2);
        s21.fma(d1, FloatVector.fromArray(F, y, y2 + L)).intoArray(y, y2 + L);
        s22.fma(d2, FloatVector.fromArray(F, y, y2 + 2 * L)).intoArray(y, y2 + 2 * L);
        s23.fma(d3, FloatVector.fromArray(F, y, y2 + 3 * L)).intoArray(y, y2 + 3 * L);
        s30.fma(d0, FloatVector.fromArray(F, y, y3)).intoArray(y, y3);
        s31.fma(d1, FloatVector.fromArray(F, y, y3 + L)).intoArray(y, y3 + L);
        s32.fma(d2, FloatVector.fromArray(F, y, y3 + 2 * L)).intoArray(y, y3 + 2 * L);
        s33.fma(d3, FloatVector.fromArray(F, y, y3 + 3 * L)).intoArray(y, y3 + 3 * L);
        s40.fma(d0, FloatVector.fromArray(F, y, y4)).intoArray(y, y4);
        s41.fma(d1, FloatVector.fromArray(F, y, y4 + L)).intoArray(y, y4 + L);
        s42.fma(d2, FloatVector.fromArray(F, y, y4 + 2 * L)).intoArray(y, y4 + 2 * L);
        s43.fma(d3, FloatVector.fromArray(F, y, y4 + 3 * L)).intoArray(y, y4 + 3 * L);
        s50.fma(d0, FloatVector.fromArray(F, y, y5)).intoArray(y, y5);
        s51.fma(d1, FloatVector.fromArray(F, y, y5 + L)).intoArray(y, y5 + L);
        s52.fma(d2, FloatVector.fromArray(F, y, y5 + 2 * L)).intoArray(y, y5 + 2 * L);
        s53.fma(d3, FloatVector.fromArray(F, y, y5 + 3 * L)).intoArray(y, y5 + 3 * L);
    }

    private static void tile4x4(
            float[] w,
            int at,
            int scale,
            float[] x,
            int x0,
            int xs,
            float[] sums,
            int n0,
            int ns,
            float[] y,
            int y0,
            int ys) {
        int x1 = x0 + xs;
        int y1 = y0 + ys;
        int x2 = x1 + xs;
        int y2 = y1 + ys;
        int x3 = x2 + xs;
        int y3 = y2 + ys;
        FloatVector s00 = FloatVector.zero(F);
        FloatVector s01 = FloatVector.zero(F);
        FloatVector s02 = FloatVector.zero(F);
        FloatVector s03 = FloatVector.zero(F);
        FloatVector s10 = FloatVector.zero(F);
        FloatVector s11 = FloatVector.zero(F);
        FloatVector s12 = FloatVector.zero(F);
        FloatVector s13 = FloatVector.zero(F);
        FloatVector s20 = FloatVector.zero(F);
        FloatVector s21 = FloatVector.zero(F);
        FloatVector s22 = FloatVector.zero(F);
        FloatVector s23 = FloatVector.zero(F);
        FloatVector s30 = FloatVector.zero(F);
        FloatVector s31 = FloatVector.zero(F);
        FloatVector s32 = FloatVector.zero(F);
        FloatVector s33 = FloatVector.zero(F);
        for (int k = 0; k < COLUMNS; k++) {
            int row = at + k * ROWS;
            FloatVector w0 = FloatVector.fromArray(F, w, row);
            FloatVector w1 = FloatVector.fromArray(F, w, row + L);
            FloatVector w2 = FloatVector.fromArray(F, w, row + 2 * L);
            FloatVector w3 = FloatVector.fromArray(F, w, row + 3 * L);
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
        if (sums != null) {
            FloatVector m0 = FloatVector.fromArray(F, w, scale + ROWS);
            FloatVector m1 = FloatVector.fromArray(F, w, scale + ROWS + L);
            FloatVector m2 = FloatVector.fromArray(F, w, scale + ROWS + 2 * L);
            FloatVector m3 = FloatVector.fromArray(F, w, scale + ROWS + 3 * L);
            FloatVector sum0 = FloatVector.broadcast(F, sums[n0]);
            m0.fma(sum0, FloatVector.fromArray(F, y, y0)).intoArray(y, y0);
            m1.fma(sum0, FloatVector.fromArray(F, y, y0 + L)).intoArray(y, y0 + L);
            m2.fma(sum0, FloatVector.fromArray(F, y, y0 + 2 * L)).intoArray(y, y0 + 2 * L);
            m3.fma(sum0, FloatVector.fromArray(F, y, y0 + 3 * L)).intoArray(y, y0 + 3 * L);
            FloatVector sum1 = FloatVector.broadcast(F, sums[n0 + ns]);
            m0.fma(sum1, FloatVector.fromArray(F, y, y1)).intoArray(y, y1);
            m1.fma(sum1, FloatVector.fromArray(F, y, y1 + L)).intoArray(y, y1 + L);
            m2.fma(sum1, FloatVector.fromArray(F, y, y1 + 2 * L)).intoArray(y, y1 + 2 * L);
            m3.fma(sum1, FloatVector.fromArray(F, y, y1 + 3 * L)).intoArray(y, y1 + 3 * L);
            FloatVector sum2 = FloatVector.broadcast(F, sums[n0 + 2 * ns]);
            m0.fma(sum2, FloatVector.fromArray(F, y, y2)).intoArray(y, y2);
            m1.fma(sum2, FloatVector.fromArray(F, y, y2 + L)).intoArray(y, y2 + L);
            m2.fma(sum2, FloatVector.fromArray(F, y, y2 + 2 * L)).intoArray(y, y2 + 2 * L);
            m3.fma(sum2, FloatVector.fromArray(F, y, y2 + 3 * L)).intoArray(y, y2 + 3 * L);
            FloatVector sum3 = FloatVector.broadcast(F, sums[n0 + 3 * ns]);
            m0.fma(sum3, FloatVector.fromArray(F, y, y3)).intoArray(y, y3);
            m1.fma(sum3, FloatVector.fromArray(F, y, y3 + L)).intoArray(y, y3 + L);
            m2.fma(sum3, FloatVector.fromArray(F, y, y3 + 2 * L)).intoArray(y, y3 + 2 * L);
            m3.fma(sum3, FloatVector.fromArray(F, y, y3 + 3 * L)).intoArray(y, y3 + 3 * L);
        }
        FloatVector d0 = FloatVector.fromArray(F, w, scale);
        FloatVector d1 = FloatVector.fromArray(F, w, scale + L);
        FloatVector d2 = FloatVector.fromArray(F, w, scale + 2 * L);
        FloatVector d3 = FloatVector.fromArray(F, w, scale + 3 * L);
        s00.fma(d0, FloatVector.fromArray(F, y, y0)).intoArray(y, y0);
        s01.fma(d1, FloatVector.fromArray(F, y, y0 + L)).intoArray(y, y0 + L);
        s02.fma(d2, FloatVector.fromArray(F, y, y0 + 2 * L)).intoArray(y, y0 + 2 * L);
        s03.fma(d3, FloatVector.fromArray(F, y, y0 + 3 * L)).intoArray(y, y0 + 3 * L);
        s10.fma(d0, FloatVector.fromArray(F, y, y1)).intoArray(y, y1);
        s11.fma(d1, FloatVector.fromArray(F, y, y1 + L)).intoArray(y, y1 + L);
        s12.fma(d2, FloatVector.fromArray(F, y, y1 + 2 * L)).intoArray(y, y1 + 2 * L);
        s13.fma(d3, FloatVector.fromArray(F, y, y1 + 3 * L)).intoArray(y, y1 + 3 * L);
        s20.fma(d0, FloatVector.fromArray(F, y, y2)).intoArray(y, y2);
        s21.fma(d1, FloatVector.fromArray(F, y, y2 + L)).intoArray(y, y2 + L);
        s22.fma(d2, FloatVector.fromArray(F, y, y2 + 2 * L)).intoArray(y, y2 + 2 * L);
        s23.fma(d3, FloatVector.fromArray(F, y, y2 + 3 * L)).intoArray(y, y2 + 3 * L);
        s30.fma(d0, FloatVector.fromArray(F, y, y3)).intoArray(y, y3);
        s31.fma(d1, FloatVector.fromArray(F, y, y3 + L)).intoArray(y, y3 + L);
        s32.fma(d2, FloatVector.fromArray(F, y, y3 + 2 * L)).intoArray(y, y3 + 2 * L);
        s33.fma(d3, FloatVector.fromArray(F, y, y3 + 3 * L)).intoArray(y, y3 + 3 * L);
    }

    private static void tile2x4(
            float[] w,
            int at,
            int scale,
            float[] x,
            int x0,
            int xs,
            float[] sums,
            int n0,
            int ns,
            float[] y,
            int y0,
            int ys) {
        int x1 = x0 + xs;
        int y1 = y0 + ys;
        FloatVector s00 = FloatVector.zero(F);
        FloatVector s01 = FloatVector.zero(F);
        FloatVector s02 = FloatVector.zero(F);
        FloatVector s03 = FloatVector.zero(F);
        FloatVector s10 = FloatVector.zero(F);
        FloatVector s11 = FloatVector.zero(F);
        FloatVector s12 = FloatVector.zero(F);
        FloatVector s13 = FloatVector.zero(F);
        for (int k = 0; k < COLUMNS; k++) {
            int row = at + k * ROWS;
            FloatVector w0 = FloatVector.fromArray(F, w, row);
            FloatVector w1 = FloatVector.fromArray(F, w, row + L);
            FloatVector w2 = FloatVector.fromArray(F, w, row + 2 * L);
            FloatVector w3 = FloatVector.fromArray(F, w, row + 3 * L);
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
        if (sums != null) {
            FloatVector m0 = FloatVector.fromArray(F, w, scale + ROWS);
            FloatVector m1 = FloatVector.fromArray(F, w, scale + ROWS + L);
            FloatVector m2 = FloatVector.fromArray(F, w, scale + ROWS + 2 * L);
            FloatVector m3 = FloatVector.fromArray(F, w, scale + ROWS + 3 * L);
            FloatVector sum0 = FloatVector.broadcast(F, sums[n0]);
            m0.fma(sum0, FloatVector.fromArray(F, y, y0)).intoArray(y, y0);
            m1.fma(sum0, FloatVector.fromArray(F, y, y0 + L)).intoArray(y, y0 + L);
            m2.fma(sum0, FloatVector.fromArray(F, y, y0 + 2 * L)).intoArray(y, y0 + 2 * L);
            m3.fma(sum0, FloatVector.fromArray(F, y, y0 + 3 * L)).intoArray(y, y0 + 3 * L);
            FloatVector sum1 = FloatVector.broadcast(F, sums[n0 + ns]);
            m0.fma(sum1, FloatVector.fromArray(F, y, y1)).intoArray(y, y1);
            m1.fma(sum1, FloatVector.fromArray(F, y, y1 + L)).intoArray(y, y1 + L);
            m2.fma(sum1, FloatVector.fromArray(F, y, y1 + 2 * L)).intoArray(y, y1 + 2 * L);
            m3.fma(sum1, FloatVector.fromArray(F, y, y1 + 3 * L)).intoArray(y, y1 + 3 * L);
        }
        FloatVector d0 = FloatVector.fromArray(F, w, scale);
        FloatVector d1 = FloatVector.fromArray(F, w, scale + L);
        FloatVector d2 = FloatVector.fromArray(F, w, scale + 2 * L);
        FloatVector d3 = FloatVector.fromArray(F, w, scale + 3 * L);
        s00.fma(d0, FloatVector.fromArray(F, y, y0)).intoArray(y, y0);
        s01.fma(d1, FloatVector.fromArray(F, y, y0 + L)).intoArray(y, y0 + L);
        s02.fma(d2, FloatVector.fromArray(F, y, y0 + 2 * L)).intoArray(y, y0 + 2 * L);
        s03.fma(d3, FloatVector.fromArray(F, y, y0 + 3 * L)).intoArray(y, y0 + 3 * L);
        s10.fma(d0, FloatVector.fromArray(F, y, y1)).intoArray(y, y1);
        s11.fma(d1, FloatVector.fromArray(F, y, y1 + L)).intoArray(y, y1 + L);
        s12.fma(d2, FloatVector.fromArray(F, y, y1 + 2 * L)).intoArray(y, y1 + 2 * L);
        s13.fma(d3, FloatVector.fromArray(F, y, y1 + 3 * L)).intoArray(y, y1 + 3 * L);
    }

    private static void tile1x4(
            float[] w, int at, int scale, float[] x, int x0, float[] sums, int n0, float[] y, int y0) {
        FloatVector s00 = FloatVector.zero(F);
        FloatVector s01 = FloatVector.zero(F);
        FloatVector s02 = FloatVector.zero(F);
        FloatVector s03 = FloatVector.zero(F);
        for (int k = 0; k < COLUMNS; k++) {
            int row = at + k * ROWS;
            FloatVector w0 = FloatVector.fromArray(F, w, row);
            FloatVector w1 = FloatVector.fromArray(F, w, row + L);
            FloatVector w2 = FloatVector.fromArray(F, w, row + 2 * L);
            FloatVector w3 = FloatVector.fromArray(F, w, row + 3 * L);
            FloatVector b0 = FloatVector.broadcast(F, x[x0 + k]);
            s00 = w0.fma(b0, s00);
            s01 = w1.fma(b0, s01);
            s02 = w2.fma(b0, s02);
            s03 = w3.fma(b0, s03);
        }
        if (sums != null) {
            FloatVector m0 = FloatVector.fromArray(F, w, scale + ROWS);
            FloatVector m1 = FloatVector.fromArray(F, w, scale + ROWS + L);
            FloatVector m2 = FloatVector.fromArray(F, w, scale + ROWS + 2 * L);
            FloatVector m3 = FloatVector.fromArray(F, w, scale + ROWS + 3 * L);
            FloatVector sum0 = FloatVector.broadcast(F, sums[n0]);
            m0.fma(sum0, FloatVector.fromArray(F, y, y0)).intoArray(y, y0);
            m1.fma(sum0, FloatVector.fromArray(F, y, y0 + L)).intoArray(y, y0 + L);
            m2.fma(sum0, FloatVector.fromArray(F, y, y0 + 2 * L)).intoArray(y, y0 + 2 * L);
            m3.fma(sum0, FloatVector.fromArray(F, y, y0 + 3 * L)).intoArray(y, y0 + 3 * L);
        }
        FloatVector d0 = FloatVector.fromArray(F, w, scale);
        FloatVector d1 = FloatVector.fromArray(F, w, scale + L);
        FloatVector d2 = FloatVector.fromArray(F, w, scale + 2 * L);
        FloatVector d3 = FloatVector.fromArray(F, w, scale + 3 * L);
        s00.fma(d0, FloatVector.fromArray(F, y, y0)).intoArray(y, y0);
        s01.fma(d1, FloatVector.fromArray(F, y, y0 + L)).intoArray(y, y0 + L);
        s02.fma(d2, FloatVector.fromArray(F, y, y0 + 2 * L)).intoArray(y, y0 + 2 * L);
        s03.fma(d3, FloatVector.fromArray(F, y, y0 + 3 * L)).intoArray(y, y0 + 3 * L);
    }

    private static void tile6x2(
            float[] w,
            int at,
            int scale,
            float[] x,
            int x0,
            int xs,
            float[] sums,
            int n0,
            int ns,
            float[] y,
            int y0,
            int ys) {
        int x1 = x0 + xs;
        int y1 = y0 + ys;
        int x2 = x1 + xs;
        int y2 = y1 + ys;
        int x3 = x2 + xs;
        int y3 = y2 + ys;
        int x4 = x3 + xs;
        int y4 = y3 + ys;
        int x5 = x4 + xs;
        int y5 = y4 + ys;
        FloatVector s00 = FloatVector.zero(F);
        FloatVector s01 = FloatVector.zero(F);
        FloatVector s10 = FloatVector.zero(F);
        FloatVector s11 = FloatVector.zero(F);
        FloatVector s20 = FloatVector.zero(F);
        FloatVector s21 = FloatVector.zero(F);
        FloatVector s30 = FloatVector.zero(F);
        FloatVector s31 = FloatVector.zero(F);
        FloatVector s40 = FloatVector.zero(F);
        FloatVector s41 = FloatVector.zero(F);
        FloatVector s50 = FloatVector.zero(F);
        FloatVector s51 = FloatVector.zero(F);
        for (int k = 0; k < COLUMNS; k++) {
            int row = at + k * ROWS;
            FloatVector w0 = FloatVector.fromArray(F, w, row);
            FloatVector w1 = FloatVector.fromArray(F, w, row + L);
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
        if (sums != null) {
            FloatVector m0 = FloatVector.fromArray(F, w, scale + ROWS);
            FloatVector m1 = FloatVector.fromArray(F, w, scale + ROWS + L);
            FloatVector sum0 = FloatVector.broadcast(F, sums[n0]);
            m0.fma(sum0, FloatVector.fromArray(F, y, y0)).intoArray(y, y0);
            m1.fma(sum0, FloatVector.fromArray(F, y, y0 + L)).intoArray(y, y0 + L);
            FloatVector sum1 = FloatVector.broadcast(F, sums[n0 + ns]);
            m0.fma(sum1, FloatVector.fromArray(F, y, y1)).intoArray(y, y1);
            m1.fma(sum1, FloatVector.fromArray(F, y, y1 + L)).intoArray(y, y1 + L);
            FloatVector sum2 = FloatVector.broadcast(F, sums[n0 + 2 * ns]);
            m0.fma(sum2, FloatVector.fromArray(F, y, y2)).intoArray(y, y2);
            m1.fma(sum2, FloatVector.fromArray(F, y, y2 + L)).intoArray(y, y2 + L);
            FloatVector sum3 = FloatVector.broadcast(F, sums[n0 + 3 * ns]);
            m0.fma(sum3, FloatVector.fromArray(F, y, y3)).intoArray(y, y3);
            m1.fma(sum3, FloatVector.fromArray(F, y, y3 + L)).intoArray(y, y3 + L);
            FloatVector sum4 = FloatVector.broadcast(F, sums[n0 + 4 * ns]);
            m0.fma(sum4, FloatVector.fromArray(F, y, y4)).intoArray(y, y4);
            m1.fma(sum4, FloatVector.fromArray(F, y, y4 + L)).intoArray(y, y4 + L);
            FloatVector sum5 = FloatVector.broadcast(F, sums[n0 + 5 * ns]);
            m0.fma(sum5, FloatVector.fromArray(F, y, y5)).intoArray(y, y5);
            m1.fma(sum5, FloatVector.fromArray(F, y, y5 + L)).intoArray(y, y5 + L);
        }
        FloatVector d0 = FloatVector.fromArray(F, w, scale);
        FloatVector d1 = FloatVector.fromArray(F, w, scale + L);
        s00.fma(d0, FloatVector.fromArray(F, y, y0)).intoArray(y, y0);
        s01.fma(d1, FloatVector.fromArray(F, y, y0 + L)).intoArray(y, y0 + L);
        s10.fma(d0, FloatVector.fromArray(F, y, y1)).intoArray(y, y1);
        s11.fma(d1, FloatVector.fromArray(F, y, y1 + L)).intoArray(y, y1 + L);
        s20.fma(d0, FloatVector.fromArray(F, y, y2)).intoArray(y, y2);
        s21.fma(d1, FloatVector.fromArray(F, y, y2 + L)).intoArray(y, y2 + L);
        s30.fma(d0, FloatVector.fromArray(F, y, y3)).intoArray(y, y3);
        s31.fma(d1, FloatVector.fromArray(F, y, y3 + L)).intoArray(y, y3 + L);
        s40.fma(d0, FloatVector.fromArray(F, y, y4)).intoArray(y, y4);
        s41.fma(d1, FloatVector.fromArray(F, y, y4 + L)).intoArray(y, y4 + L);
        s50.fma(d0, FloatVector.fromArray(F, y, y5)).intoArray(y, y5);
        s51.fma(d1, FloatVector.fromArray(F, y, y5 + L)).intoArray(y, y5 + L);
    }

    private static void tile4x2(
            float[] w,
            int at,
            int scale,
            float[] x,
            int x0,
            int xs,
            float[] sums,
            int n0,
            int ns,
            float[] y,
            int y0,
            int ys) {
        int x1 = x0 + xs;
        int y1 = y0 + ys;
        int x2 = x1 + xs;
        int y2 = y1 + ys;
        int x3 = x2 + xs;
        int y3 = y2 + ys;
        FloatVector s00 = FloatVector.zero(F);
        FloatVector s01 = FloatVector.zero(F);
        FloatVector s10 = FloatVector.zero(F);
        FloatVector s11 = FloatVector.zero(F);
        FloatVector s20 = FloatVector.zero(F);
        FloatVector s21 = FloatVector.zero(F);
        FloatVector s30 = FloatVector.zero(F);
        FloatVector s31 = FloatVector.zero(F);
        for (int k = 0; k < COLUMNS; k++) {
            int row = at + k * ROWS;
            FloatVector w0 = FloatVector.fromArray(F, w, row);
            FloatVector w1 = FloatVector.fromArray(F, w, row + L);
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
        }
        if (sums != null) {
            FloatVector m0 = FloatVector.fromArray(F, w, scale + ROWS);
            FloatVector m1 = FloatVector.fromArray(F, w, scale + ROWS + L);
            FloatVector sum0 = FloatVector.broadcast(F, sums[n0]);
            m0.fma(sum0, FloatVector.fromArray(F, y, y0)).intoArray(y, y0);
            m1.fma(sum0, FloatVector.fromArray(F, y, y0 + L)).intoArray(y, y0 + L);
            FloatVector sum1 = FloatVector.broadcast(F, sums[n0 + ns]);
            m0.fma(sum1, FloatVector.fromArray(F, y, y1)).intoArray(y, y1);
            m1.fma(sum1, FloatVector.fromArray(F, y, y1 + L)).intoArray(y, y1 + L);
            FloatVector sum2 = FloatVector.broadcast(F, sums[n0 + 2 * ns]);
            m0.fma(sum2, FloatVector.fromArray(F, y, y2)).intoArray(y, y2);
            m1.fma(sum2, FloatVector.fromArray(F, y, y2 + L)).intoArray(y, y2 + L);
            FloatVector sum3 = FloatVector.broadcast(F, sums[n0 + 3 * ns]);
            m0.fma(sum3, FloatVector.fromArray(F, y, y3)).intoArray(y, y3);
            m1.fma(sum3, FloatVector.fromArray(F, y, y3 + L)).intoArray(y, y3 + L);
        }
        FloatVector d0 = FloatVector.fromArray(F, w, scale);
        FloatVector d1 = FloatVector.fromArray(F, w, scale + L);
        s00.fma(d0, FloatVector.fromArray(F, y, y0)).intoArray(y, y0);
        s01.fma(d1, FloatVector.fromArray(F, y, y0 + L)).intoArray(y, y0 + L);
        s10.fma(d0, FloatVector.fromArray(F, y, y1)).intoArray(y, y1);
        s11.fma(d1, FloatVector.fromArray(F, y, y1 + L)).intoArray(y, y1 + L);
        s20.fma(d0, FloatVector.fromArray(F, y, y2)).intoArray(y, y2);
        s21.fma(d1, FloatVector.fromArray(F, y, y2 + L)).intoArray(y, y2 + L);
        s30.fma(d0, FloatVector.fromArray(F, y, y3)).intoArray(y, y3);
        s31.fma(d1, FloatVector.fromArray(F, y, y3 + L)).intoArray(y, y3 + L);
    }
}
