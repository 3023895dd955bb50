package io.penstock.shard.backend.cpu;

import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/// Attention on the Vector API: positions are lanes where scores are computed, elements of a head where
/// values are summed.
///
/// A row is one token's one query head; rows of the same key/value head are done several at a time,
/// since they read the same keys and values. Tiles are written out for the reason that [VectorDecode]
/// gives: `scoresRx2` computes R rows by 2 vectors of positions, `valuesRxN` R rows by N vectors of a
/// head's elements.
final class VectorAttention {
    /// Rows of a tile, and so of the scratch. AVX2 has registers for half of them where values are
    /// summed.
    private static final int ROWS = Kernels.ATTENTION_ROWS;

    private static final VectorSpecies<Float> F = VectorWidth.FLOATS;
    private static final ByteOrder LITTLE = ByteOrder.LITTLE_ENDIAN;
    /// Lanes and bytes of a vector.
    private static final int L = F.length();
    private static final long V = F.vectorByteSize();
    private static final int VALUE_ROWS = L == 16 ? 6 : 3;

    private VectorAttention() {}

    static void attend(
            KvCache cache,
            int layer,
            int kvHead,
            int[] blockTable,
            int position,
            int tokens,
            float[] query,
            int queryOffset,
            int stride,
            int group,
            float[] out,
            float[] scratch) {
        int rows = tokens * group;
        for (int row = 0; row < rows; ) {
            int here = rows - row >= ROWS ? ROWS : Math.min(rows - row, 3);
            if (here == 2) {
                here = 1;
            }
            tile(
                    cache,
                    layer,
                    kvHead,
                    blockTable,
                    position,
                    row,
                    here,
                    query,
                    queryOffset,
                    stride,
                    group,
                    out,
                    scratch);
            row += here;
        }
    }

    /// Where row `row` has its query, and its output.
    private static int at(int offset, int stride, int row, int group, int headSize) {
        return offset + row / group * stride + row % group * headSize;
    }

    private static void tile(
            KvCache cache,
            int layer,
            int kvHead,
            int[] blockTable,
            int position,
            int firstRow,
            int rows,
            float[] query,
            int queryOffset,
            int stride,
            int group,
            float[] out,
            float[] scratch) {
        int headSize = cache.headSize();
        int segmentBlocks = Kernels.segmentBlocks(cache.blockSize());
        int segment = segmentBlocks * cache.blockSize();
        int rowStride = segmentBlocks * cache.keyStride();
        int values = ROWS * rowStride;
        int valueStride = cache.valueStride();
        int maxima = values + ROWS * valueStride;
        int sums = maxima + ROWS;
        int lanes = maxima + 4 * ROWS;
        // Positions that the first row sees; rows of the same or later tokens see as many or more.
        int shortest = position + firstRow / group + 1;
        int longest = position + (firstRow + rows - 1) / group + 1;
        for (int from = 0; from < longest; from += segment) {
            int count = Math.min(segment, longest - from);
            scores(
                    cache,
                    layer,
                    kvHead,
                    blockTable,
                    from,
                    count,
                    rows,
                    firstRow,
                    query,
                    queryOffset,
                    stride,
                    group,
                    scratch,
                    rowStride);
            Arrays.fill(scratch, values, values + rows * valueStride, 0);
            int common = Math.max(0, Math.min(segment, shortest - from));
            for (int r = 0; r < rows; r++) {
                int seen = Math.min(segment, position + (firstRow + r) / group + 1 - from);
                if (seen > 0) {
                    float maximum = maximum(cache, scratch, r * rowStride, seen);
                    scratch[maxima + r] = maximum;
                    scratch[sums + r] = weights(cache, scratch, r * rowStride, seen, maximum, lanes);
                }
            }
            values(cache, layer, kvHead, blockTable, from, 0, common, 0, rows, scratch, rowStride, values);
            for (int r = 0; r < rows; r++) {
                int seen = Math.min(segment, position + (firstRow + r) / group + 1 - from);
                if (seen > common) {
                    values(cache, layer, kvHead, blockTable, from, common, seen, r, 1, scratch, rowStride, values);
                }
                if (seen > 0) {
                    int o = at(queryOffset, stride, firstRow + r, group, headSize);
                    merge(
                            scratch,
                            maxima + r,
                            sums + r,
                            values + r * valueStride,
                            out,
                            o,
                            headSize,
                            from == 0,
                            maxima + 2 * ROWS + r);
                }
            }
        }
        for (int r = 0; r < rows; r++) {
            int o = at(queryOffset, stride, firstRow + r, group, headSize);
            float inverse = 1 / scratch[maxima + 3 * ROWS + r];
            for (int d = 0; d < headSize; d++) {
                out[o + d] *= inverse;
            }
        }
    }

    /// Adds a segment to what the row has so far: its greatest score at `total`, its sum of weights
    /// `ROWS` further on, its values in `out`.
    private static void merge(
            float[] scratch,
            int maximum,
            int sum,
            int values,
            float[] out,
            int o,
            int headSize,
            boolean first,
            int total) {
        if (first) {
            System.arraycopy(scratch, values, out, o, headSize);
            scratch[total] = scratch[maximum];
            scratch[total + ROWS] = scratch[sum];
            return;
        }
        float greatest = Math.max(scratch[total], scratch[maximum]);
        float before = Exponential.exp(scratch[total] - greatest);
        float here = Exponential.exp(scratch[maximum] - greatest);
        for (int d = 0; d < headSize; d++) {
            out[o + d] = Math.fma(scratch[values + d], here, out[o + d] * before);
        }
        scratch[total] = greatest;
        scratch[total + ROWS] = Math.fma(scratch[sum], here, scratch[total + ROWS] * before);
    }

    /// Scores of positions `from` to `from + count - 1`, in the layout of the blocks' keys: each block
    /// padded.
    private static void scores(
            KvCache cache,
            int layer,
            int kvHead,
            int[] blockTable,
            int from,
            int count,
            int rows,
            int firstRow,
            float[] query,
            int queryOffset,
            int queryStride,
            int group,
            float[] scores,
            int rowStride) {
        MemorySegment floats = cache.floats();
        int blockSize = cache.blockSize();
        int keyStride = cache.keyStride();
        long stride = (long) keyStride * Float.BYTES;
        int headSize = cache.headSize();
        int q0 = at(queryOffset, queryStride, firstRow, group, headSize);
        int q1 = at(queryOffset, queryStride, firstRow + 1, group, headSize);
        int q2 = at(queryOffset, queryStride, firstRow + 2, group, headSize);
        int q3 = at(queryOffset, queryStride, firstRow + 3, group, headSize);
        int q4 = at(queryOffset, queryStride, firstRow + 4, group, headSize);
        int q5 = at(queryOffset, queryStride, firstRow + 5, group, headSize);
        int firstBlock = from / blockSize;
        int vectors = Math.ceilDiv(blockSize, L);
        int last = (count - 1) / blockSize * vectors + (count - 1) % blockSize / L;
        for (int vector = 0; vector <= last; vector += 2) {
            // A lone last vector is computed twice.
            int other = Math.min(vector + 1, last);
            int block0 = vector / vectors;
            int block1 = other / vectors;
            int in0 = vector % vectors * L;
            int in1 = other % vectors * L;
            long at0 = cache.keys(layer, blockTable[firstBlock + block0], kvHead) + (long) in0 * Float.BYTES;
            long at1 = cache.keys(layer, blockTable[firstBlock + block1], kvHead) + (long) in1 * Float.BYTES;
            int to0 = block0 * keyStride + in0;
            int to1 = block1 * keyStride + in1;
            switch (rows) {
                case 6 ->
                    scores6x2(
                            floats, at0, at1, stride, headSize, query, q0, q1, q2, q3, q4, q5, scores, to0, to1,
                            rowStride);
                case 3 -> scores3x2(floats, at0, at1, stride, headSize, query, q0, q1, q2, scores, to0, to1, rowStride);
                default -> scores1x2(floats, at0, at1, stride, headSize, query, q0, scores, to0, to1);
            }
        }
    }

    private static float maximum(KvCache cache, float[] scores, int s, int count) {
        int blockSize = cache.blockSize();
        int keyStride = cache.keyStride();
        int blocks = Math.ceilDiv(count, blockSize);
        // Lanes past the last position, and what pads a block, count for nothing.
        for (int block = 0; block < blocks; block++) {
            int end = s + (block + 1) * keyStride;
            for (int i = end - keyStride + Math.min(blockSize, count - block * blockSize); i < end; i++) {
                scores[i] = Float.NEGATIVE_INFINITY;
            }
        }
        // One loop: from a nest of two the compiler lets the vector escape, 64 bytes a round.
        FloatVector greatest = FloatVector.broadcast(F, Float.NEGATIVE_INFINITY);
        int end = s + blocks * keyStride;
        for (int i = s; i < end; i += L) {
            greatest = greatest.max(FloatVector.fromArray(F, scores, i));
        }
        return greatest.reduceLanes(VectorOperators.MAX);
    }

    /// The weights of the scores, in place.
    ///
    /// @return their sum, in the order that [Kernels#SUM_LANES] says
    private static float weights(KvCache cache, float[] scores, int s, int count, float maximum, int lanes) {
        int blockSize = cache.blockSize();
        int keyStride = cache.keyStride();
        int whole = (count - 1) / blockSize;
        VectorKernels.exponentials(scores, s, s + whole * keyStride + count - whole * blockSize, maximum);
        // What pads a block adds nothing.
        for (int block = 0; block <= whole; block++) {
            int end = s + (block + 1) * keyStride;
            for (int i = end - keyStride + Math.min(blockSize, count - block * blockSize); i < end; i++) {
                scores[i] = 0;
            }
        }
        int end = s + (whole + 1) * keyStride;
        for (int lane = 0; lane < Kernels.SUM_LANES; lane += L) {
            FloatVector sum = FloatVector.zero(F);
            for (int i = s + lane; i < end; i += Kernels.SUM_LANES) {
                sum = sum.add(FloatVector.fromArray(F, scores, i));
            }
            sum.intoArray(scores, lanes + lane);
        }
        return Kernels.sumOfLanes(scores, lanes);
    }

    /// Continues the weighted sums of values over positions `begin` to `end - 1` of the segment at
    /// `from`.
    private static void values(
            KvCache cache,
            int layer,
            int kvHead,
            int[] blockTable,
            int from,
            int begin,
            int end,
            int firstRow,
            int rows,
            float[] scratch,
            int rowStride,
            int sums) {
        MemorySegment floats = cache.floats();
        int blockSize = cache.blockSize();
        int outStride = cache.valueStride();
        long stride = (long) outStride * Float.BYTES;
        int firstBlock = from / blockSize;
        for (int done = begin; done < end; ) {
            int in = done % blockSize;
            int block = done / blockSize;
            int here = Math.min(blockSize - in, end - done);
            long at = cache.values(layer, blockTable[firstBlock + block], kvHead) + in * stride;
            int weights = firstRow * rowStride + block * cache.keyStride() + in;
            int o = sums + firstRow * outStride;
            for (int row = 0; row < rows; ) {
                int tile = Math.min(rows - row, VALUE_ROWS);
                int w = weights + row * rowStride;
                int to = o + row * outStride;
                int d = 0;
                for (; d + 4 * L <= outStride; d += 4 * L) {
                    long from4 = at + (long) d * Float.BYTES;
                    switch (tile) {
                        case 6 ->
                            values6x4(floats, from4, stride, here, scratch, w, rowStride, scratch, to + d, outStride);
                        case 3 ->
                            values3x4(floats, from4, stride, here, scratch, w, rowStride, scratch, to + d, outStride);
                        default -> values1x4(floats, from4, stride, here, scratch, w, scratch, to + d);
                    }
                }
                for (; d < outStride; d += L) {
                    long from1 = at + (long) d * Float.BYTES;
                    for (int r = 0; r < tile; r++) {
                        values1x1(
                                floats,
                                from1,
                                stride,
                                here,
                                scratch,
                                w + r * rowStride,
                                scratch,
                                to + r * outStride + d);
                    }
                }
                row += tile;
            }
            done += here;
        }
    }

    private static void scores6x2(
            MemorySegment floats,
            long at0,
            long at1,
            long stride,
            int headSize,
            float[] query,
            int q0,
            int q1,
            int q2,
            int q3,
            int q4,
            int q5,
            float[] scores,
            int to0,
            int to1,
            int rowStride) {
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
        for (int d = 0; d < headSize; d++) {
            FloatVector k0 = FloatVector.fromMemorySegment(F, floats, at0 + d * stride, LITTLE);
            FloatVector k1 = FloatVector.fromMemorySegment(F, floats, at1 + d * stride, LITTLE);
            FloatVector b0 = FloatVector.broadcast(F, query[q0 + d]);
            s00 = k0.fma(b0, s00);
            s01 = k1.fma(b0, s01);
            FloatVector b1 = FloatVector.broadcast(F, query[q1 + d]);
            s10 = k0.fma(b1, s10);
            s11 = k1.fma(b1, s11);
            FloatVector b2 = FloatVector.broadcast(F, query[q2 + d]);
            s20 = k0.fma(b2, s20);
            s21 = k1.fma(b2, s21);
            FloatVector b3 = FloatVector.broadcast(F, query[q3 + d]);
            s30 = k0.fma(b3, s30);
            s31 = k1.fma(b3, s31);
            FloatVector b4 = FloatVector.broadcast(F, query[q4 + d]);
            s40 = k0.fma(b4, s40);
            s41 = k1.fma(b4, s41);
            FloatVector b5 = FloatVector.broadcast(F, query[q5 + d]);
            s50 = k0.fma(b5, s50);
            s51 = k1.fma(b5, s51);
        }
        s00.intoArray(scores, to0);
        s01.intoArray(scores, to1);
        s10.intoArray(scores, to0 + rowStride);
        s11.intoArray(scores, to1 + rowStride);
        s20.intoArray(scores, to0 + 2 * rowStride);
        s21.intoArray(scores, to1 + 2 * rowStride);
        s30.intoArray(scores, to0 + 3 * rowStride);
        s31.intoArray(scores, to1 + 3 * rowStride);
        s40.intoArray(scores, to0 + 4 * rowStride);
        s41.intoArray(scores, to1 + 4 * rowStride);
        s50.intoArray(scores, to0 + 5 * rowStride);
        s51.intoArray(scores, to1 + 5 * rowStride);
    }

    private static void scores3x2(
            MemorySegment floats,
            long at0,
            long at1,
            long stride,
            int headSize,
            float[] query,
            int q0,
            int q1,
            int q2,
            float[] scores,
            int to0,
            int to1,
            int rowStride) {
        FloatVector s00 = FloatVector.zero(F);
        FloatVector s01 = FloatVector.zero(F);
        FloatVector s10 = FloatVector.zero(F);
        FloatVector s11 = FloatVector.zero(F);
        FloatVector s20 = FloatVector.zero(F);
        FloatVector s21 = FloatVector.zero(F);
        for (int d = 0; d < headSize; d++) {
            FloatVector k0 = FloatVector.fromMemorySegment(F, floats, at0 + d * stride, LITTLE);
            FloatVector k1 = FloatVector.fromMemorySegment(F, floats, at1 + d * stride, LITTLE);
            FloatVector b0 = FloatVector.broadcast(F, query[q0 + d]);
            s00 = k0.fma(b0, s00);
            s01 = k1.fma(b0, s01);
            FloatVector b1 = FloatVector.broadcast(F, query[q1 + d]);
            s10 = k0.fma(b1, s10);
            s11 = k1.fma(b1, s11);
            FloatVector b2 = FloatVector.broadcast(F, query[q2 + d]);
            s20 = k0.fma(b2, s20);
            s21 = k1.fma(b2, s21);
        }
        s00.intoArray(scores, to0);
        s01.intoArray(scores, to1);
        s10.intoArray(scores, to0 + rowStride);
        s11.intoArray(scores, to1 + rowStride);
        s20.intoArray(scores, to0 + 2 * rowStride);
        s21.intoArray(scores, to1 + 2 * rowStride);
    }

    private static void scores1x2(
            MemorySegment floats,
            long at0,
            long at1,
            long stride,
            int headSize,
            float[] query,
            int q0,
            float[] scores,
            int to0,
            int to1) {
        FloatVector s00 = FloatVector.zero(F);
        FloatVector s01 = FloatVector.zero(F);
        for (int d = 0; d < headSize; d++) {
            FloatVector k0 = FloatVector.fromMemorySegment(F, floats, at0 + d * stride, LITTLE);
            FloatVector k1 = FloatVector.fromMemorySegment(F, floats, at1 + d * stride, LITTLE);
            FloatVector b0 = FloatVector.broadcast(F, query[q0 + d]);
            s00 = k0.fma(b0, s00);
            s01 = k1.fma(b0, s01);
        }
        s00.intoArray(scores, to0);
        s01.intoArray(scores, to1);
    }

    private static void values6x4(
            MemorySegment floats,
            long at,
            long stride,
            int positions,
            float[] weights,
            int w,
            int rowStride,
            float[] out,
            int o,
            int outStride) {
        int w1 = w + rowStride;
        int w2 = w + 2 * rowStride;
        int w3 = w + 3 * rowStride;
        int w4 = w + 4 * rowStride;
        int w5 = w + 5 * rowStride;
        FloatVector s00 = FloatVector.fromArray(F, out, o);
        FloatVector s01 = FloatVector.fromArray(F, out, o + L);
        FloatVector s02 = FloatVector.fromArray(F, out, o + 2 * L);
        FloatVector s03 = FloatVector.fromArray(F, out, o + 3 * L);
        int o1 = o + outStride;
        FloatVector s10 = FloatVector.fromArray(F, out, o1);
        FloatVector s11 = FloatVector.fromArray(F, out, o1 + L);
        FloatVector s12 = FloatVector.fromArray(F, out, o1 + 2 * L);
        FloatVector s13 = FloatVector.fromArray(F, out, o1 + 3 * L);
        int o2 = o + 2 * outStride;
        FloatVector s20 = FloatVector.fromArray(F, out, o2);
        FloatVector s21 = FloatVector.fromArray(F, out, o2 + L);
        FloatVector s22 = FloatVector.fromArray(F, out, o2 + 2 * L);
        FloatVector s23 = FloatVector.fromArray(F, out, o2 + 3 * L);
        int o3 = o + 3 * outStride;
        FloatVector s30 = FloatVector.fromArray(F, out, o3);
        FloatVector s31 = FloatVector.fromArray(F, out, o3 + L);
        FloatVector s32 = FloatVector.fromArray(F, out, o3 + 2 * L);
        FloatVector s33 = FloatVector.fromArray(F, out, o3 + 3 * L);
        int o4 = o + 4 * outStride;
        FloatVector s40 = FloatVector.fromArray(F, out, o4);
        FloatVector s41 = FloatVector.fromArray(F, out, o4 + L);
        FloatVector s42 = FloatVector.fromArray(F, out, o4 + 2 * L);
        FloatVector s43 = FloatVector.fromArray(F, out, o4 + 3 * L);
        int o5 = o + 5 * outStride;
        FloatVector s50 = FloatVector.fromArray(F, out, o5);
        FloatVector s51 = FloatVector.fromArray(F, out, o5 + L);
        FloatVector s52 = FloatVector.fromArray(F, out, o5 + 2 * L);
        FloatVector s53 = FloatVector.fromArray(F, out, o5 + 3 * L);
        for (int i = 0; i < positions; i++) {
            long row = at + i * stride;
            FloatVector v0 = FloatVector.fromMemorySegment(F, floats, row, LITTLE);
            FloatVector v1 = FloatVector.fromMemorySegment(F, floats, row + V, LITTLE);
            FloatVector v2 = FloatVector.fromMemorySegment(F, floats, row + 2 * V, LITTLE);
            FloatVector v3 = FloatVector.fromMemorySegment(F, floats, row + 3 * V, LITTLE);
            FloatVector b0 = FloatVector.broadcast(F, weights[w + i]);
            s00 = v0.fma(b0, s00);
            s01 = v1.fma(b0, s01);
            s02 = v2.fma(b0, s02);
            s03 = v3.fma(b0, s03);
            FloatVector b1 = FloatVector.broadcast(F, weights[w1 + i]);
            s10 = v0.fma(b1, s10);
            s11 = v1.fma(b1, s11);
            s12 = v2.fma(b1, s12);
            s13 = v3.fma(b1, s13);
            FloatVector b2 = FloatVector.broadcast(F, weights[w2 + i]);
            s20 = v0.fma(b2, s20);
            s21 = v1.fma(b2, s21);
            s22 = v2.fma(b2, s22);
            s23 = v3.fma(b2, s23);
            FloatVector b3 = FloatVector.broadcast(F, weights[w3 + i]);
            s30 = v0.fma(b3, s30);
            s31 = v1.fma(b3, s31);
            s32 = v2.fma(b3, s32);
            s33 = v3.fma(b3, s33);
            FloatVector b4 = FloatVector.broadcast(F, weights[w4 + i]);
            s40 = v0.fma(b4, s40);
            s41 = v1.fma(b4, s41);
            s42 = v2.fma(b4, s42);
            s43 = v3.fma(b4, s43);
            FloatVector b5 = FloatVector.broadcast(F, weights[w5 + i]);
            s50 = v0.fma(b5, s50);
            s51 = v1.fma(b5, s51);
            s52 = v2.fma(b5, s52);
            s53 = v3.fma(b5, s53);
        }
        s00.intoArray(out, o);
        s01.intoArray(out, o + L);
        s02.intoArray(out, o + 2 * L);
        s03.intoArray(out, o + 3 * L);
        s10.intoArray(out, o1);
        s11.intoArray(out, o1 + L);
        s12.intoArray(out, o1 + 2 * L);
        s13.intoArray(out, o1 + 3 * L);
        s20.intoArray(out, o2);
        s21.intoArray(out, o2 + L);
        s22.intoArray(out, o2 + 2 * L);
        s23.intoArray(out, o2 + 3 * L);
        s30.intoArray(out, o3);
        s31.intoArray(out, o3 + L);
        s32.intoArray(out, o3 + 2 * L);
        s33.intoArray(out, o3 + 3 * L);
        s40.intoArray(out, o4);
        s41.intoArray(out, o4 + L);
        s42.intoArray(out, o4 + 2 * L);
        s43.intoArray(out, o4 + 3 * L);
        s50.intoArray(out, o5);
        s51.intoArray(out, o5 + L);
        s52.intoArray(out, o5 + 2 * L);
        s53.intoArray(out, o5 + 3 * L);
    }

    private static void values3x4(
            MemorySegment floats,
            long at,
            long stride,
            int positions,
            float[] weights,
            int w,
            int rowStride,
            float[] out,
            int o,
            int outStride) {
        int w1 = w + rowStride;
        int w2 = w + 2 * rowStride;
        FloatVector s00 = FloatVector.fromArray(F, out, o);
        FloatVector s01 = FloatVector.fromArray(F, out, o + L);
        FloatVector s02 = FloatVector.fromArray(F, out, o + 2 * L);
        FloatVector s03 = FloatVector.fromArray(F, out, o + 3 * L);
        int o1 = o + outStride;
        FloatVector s10 = FloatVector.fromArray(F, out, o1);
        FloatVector s11 = FloatVector.fromArray(F, out, o1 + L);
        FloatVector s12 = FloatVector.fromArray(F, out, o1 + 2 * L);
        FloatVector s13 = FloatVector.fromArray(F, out, o1 + 3 * L);
        int o2 = o + 2 * outStride;
        FloatVector s20 = FloatVector.fromArray(F, out, o2);
        FloatVector s21 = FloatVector.fromArray(F, out, o2 + L);
        FloatVector s22 = FloatVector.fromArray(F, out, o2 + 2 * L);
        FloatVector s23 = FloatVector.fromArray(F, out, o2 + 3 * L);
        for (int i = 0; i < positions; i++) {
            long row = at + i * stride;
            FloatVector v0 = FloatVector.fromMemorySegment(F, floats, row, LITTLE);
            FloatVector v1 = FloatVector.fromMemorySegment(F, floats, row + V, LITTLE);
            FloatVector v2 = FloatVector.fromMemorySegment(F, floats, row + 2 * V, LITTLE);
            FloatVector v3 = FloatVector.fromMemorySegment(F, floats, row + 3 * V, LITTLE);
            FloatVector b0 = FloatVector.broadcast(F, weights[w + i]);
            s00 = v0.fma(b0, s00);
            s01 = v1.fma(b0, s01);
            s02 = v2.fma(b0, s02);
            s03 = v3.fma(b0, s03);
            FloatVector b1 = FloatVector.broadcast(F, weights[w1 + i]);
            s10 = v0.fma(b1, s10);
            s11 = v1.fma(b1, s11);
            s12 = v2.fma(b1, s12);
            s13 = v3.fma(b1, s13);
            FloatVector b2 = FloatVector.broadcast(F, weights[w2 + i]);
            s20 = v0.fma(b2, s20);
            s21 = v1.fma(b2, s21);
            s22 = v2.fma(b2, s22);
            s23 = v3.fma(b2, s23);
        }
        s00.intoArray(out, o);
        s01.intoArray(out, o + L);
        s02.intoArray(out, o + 2 * L);
        s03.intoArray(out, o + 3 * L);
        s10.intoArray(out, o1);
        s11.intoArray(out, o1 + L);
        s12.intoArray(out, o1 + 2 * L);
        s13.intoArray(out, o1 + 3 * L);
        s20.intoArray(out, o2);
        s21.intoArray(out, o2 + L);
        s22.intoArray(out, o2 + 2 * L);
        s23.intoArray(out, o2 + 3 * L);
    }

    private static void values1x4(
            MemorySegment floats, long at, long stride, int positions, float[] weights, int w, float[] out, int o) {
        FloatVector s00 = FloatVector.fromArray(F, out, o);
        FloatVector s01 = FloatVector.fromArray(F, out, o + L);
        FloatVector s02 = FloatVector.fromArray(F, out, o + 2 * L);
        FloatVector s03 = FloatVector.fromArray(F, out, o + 3 * L);
        for (int i = 0; i < positions; i++) {
            long row = at + i * stride;
            FloatVector v0 = FloatVector.fromMemorySegment(F, floats, row, LITTLE);
            FloatVector v1 = FloatVector.fromMemorySegment(F, floats, row + V, LITTLE);
            FloatVector v2 = FloatVector.fromMemorySegment(F, floats, row + 2 * V, LITTLE);
            FloatVector v3 = FloatVector.fromMemorySegment(F, floats, row + 3 * V, LITTLE);
            FloatVector b0 = FloatVector.broadcast(F, weights[w + i]);
            s00 = v0.fma(b0, s00);
            s01 = v1.fma(b0, s01);
            s02 = v2.fma(b0, s02);
            s03 = v3.fma(b0, s03);
        }
        s00.intoArray(out, o);
        s01.intoArray(out, o + L);
        s02.intoArray(out, o + 2 * L);
        s03.intoArray(out, o + 3 * L);
    }

    private static void values1x1(
            MemorySegment floats, long at, long stride, int positions, float[] weights, int w, float[] out, int o) {
        FloatVector s00 = FloatVector.fromArray(F, out, o);
        for (int i = 0; i < positions; i++) {
            long row = at + i * stride;
            FloatVector v0 = FloatVector.fromMemorySegment(F, floats, row, LITTLE);
            FloatVector b0 = FloatVector.broadcast(F, weights[w + i]);
            s00 = v0.fma(b0, s00);
        }
        s00.intoArray(out, o);
    }
}
