package io.penstock.shard.backend.cpu;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/// The arithmetic on the Vector API. Matrix products are in [VectorDecode] (one token: weights are
/// unpacked in registers) and [VectorTiles] (several: a panel's blocks are unpacked once, into scratch
/// that stays in a cache).
public final class VectorKernels implements Kernels {
    static final ByteOrder LITTLE = ByteOrder.LITTLE_ENDIAN;

    private static final VectorSpecies<Float> F = VectorWidth.FLOATS;
    /// Lanes of a vector.
    private static final int L = F.length();

    /// Blocks that are unpacked at a time for few tokens: what a first-level cache holds beside vectors and
    /// sums. For many, a tile's sums are taken up and put down less often with more.
    private static final int FEW_BLOCKS = 2;

    private static final int FEW_TOKENS = 24;
    private static final int MOST_BLOCKS = MOST_UNPACKED_BLOCKS;

    private static final long CACHE_LINE = 64;

    @Override
    public String description() {
        return "vector: %d bit".formatted(F.vectorBitSize());
    }

    @Override
    public void multiply(
            PackedMatrix matrix,
            int panel,
            float[] x,
            int xOffset,
            int xStride,
            int tokens,
            float[] sums,
            int sumsOffset,
            float[] y,
            int yOffset,
            int yStride,
            float[] scratch) {
        Elements elements = matrix.elements();
        if (tokens == 1) {
            if (L == 16 && elements == Elements.Q8_0) {
                fetch(matrix, panel, scratch);
            }
            VectorDecode.multiply(matrix, panel, x, xOffset, sums, sumsOffset, y, yOffset, scratch);
            return;
        }
        int blocks = matrix.blocks();
        int most = tokens < FEW_TOKENS ? FEW_BLOCKS : MOST_BLOCKS;
        // Parts of equally many blocks, about.
        int part = Math.ceilDiv(blocks, Math.ceilDiv(blocks, most));
        int scalesAt = part * PackedMatrix.BLOCK_COLUMNS * PackedMatrix.PANEL_ROWS;
        long at = panel * matrix.panelBytes();
        for (int token = 0; token < tokens; token++) {
            Arrays.fill(y, yOffset + token * yStride, yOffset + token * yStride + PackedMatrix.PANEL_ROWS, 0f);
        }
        for (int block = 0; block < blocks; block += part) {
            int here = Math.min(part, blocks - block);
            VectorUnpacking.scales(matrix, at, here, scratch, scalesAt);
            VectorUnpacking.levels(matrix, at, here, scratch);
            VectorTiles.multiply(
                    scratch,
                    0,
                    scalesAt,
                    here,
                    x,
                    xOffset + block * PackedMatrix.BLOCK_COLUMNS,
                    xStride,
                    tokens,
                    elements.hasMinimum() ? sums : null,
                    sumsOffset + block,
                    blocks,
                    y,
                    yOffset,
                    yStride);
            at += (long) here * matrix.blockBytes();
        }
    }

    @Override
    public void blockSums(float[] x, int xOffset, int blocks, float[] sums, int sumsOffset, float[] lanes) {
        for (int block = 0; block < blocks; block++) {
            int from = xOffset + block * PackedMatrix.BLOCK_COLUMNS;
            for (int lane = 0; lane < SUM_LANES; lane += L) {
                FloatVector.fromArray(F, x, from + lane)
                        .add(FloatVector.fromArray(F, x, from + SUM_LANES + lane))
                        .intoArray(lanes, lane);
            }
            sums[sumsOffset + block] = Kernels.sumOfLanes(lanes, 0);
        }
    }

    /// Brings a panel into the cache: one load a line and nothing else, so that many lines are under
    /// way at a time. Measured on Zen 5: 8-bit weights that are not in the cache come twice as fast so
    /// (20 against 10 GB/s a thread); 4-bit and 16-bit ones come faster without (22 and 36 GB/s). On
    /// Zen 3 all come slower with it.
    private static void fetch(PackedMatrix matrix, int panel, float[] scratch) {
        MemorySegment words = matrix.words();
        long from = panel * matrix.panelBytes();
        int lines = (int) (matrix.panelBytes() / CACHE_LINE);
        int sum = 0;
        for (int line = 0; line < lines; line++) {
            sum += words.get(ValueLayout.JAVA_INT_UNALIGNED, from + line * CACHE_LINE);
        }
        // Or the compiler would see that nobody wants it.
        scratch[0] = sum;
    }

    @Override
    public void rmsNorm(
            float[] x, int xOffset, float[] weight, int count, double epsilon, float[] y, int yOffset, float[] lanes) {
        int whole = count - count % SUM_LANES;
        for (int lane = 0; lane < SUM_LANES; lane += L) {
            FloatVector sum = FloatVector.zero(F);
            for (int i = lane; i < whole; i += SUM_LANES) {
                FloatVector v = FloatVector.fromArray(F, x, xOffset + i);
                sum = v.fma(v, sum);
            }
            sum.intoArray(lanes, lane);
        }
        for (int i = whole; i < count; i++) {
            lanes[i - whole] = Math.fma(x[xOffset + i], x[xOffset + i], lanes[i - whole]);
        }
        float scale = Kernels.normScale(lanes, count, epsilon);
        int bound = F.loopBound(count);
        for (int i = 0; i < bound; i += L) {
            FloatVector.fromArray(F, x, xOffset + i)
                    .mul(scale)
                    .mul(FloatVector.fromArray(F, weight, i))
                    .intoArray(y, yOffset + i);
        }
        for (int i = bound; i < count; i++) {
            y[yOffset + i] = x[xOffset + i] * scale * weight[i];
        }
    }

    @Override
    public void add(float[] x, int xOffset, float[] y, int yOffset, int count) {
        int bound = F.loopBound(count);
        for (int i = 0; i < bound; i += L) {
            FloatVector.fromArray(F, y, yOffset + i)
                    .add(FloatVector.fromArray(F, x, xOffset + i))
                    .intoArray(y, yOffset + i);
        }
        for (int i = bound; i < count; i++) {
            y[yOffset + i] += x[xOffset + i];
        }
    }

    @Override
    public void swiglu(float[] gate, int gateOffset, float[] up, int upOffset, int count) {
        int bound = F.loopBound(count);
        for (int i = 0; i < bound; i += L) {
            FloatVector value = FloatVector.fromArray(F, gate, gateOffset + i);
            // As Exponential.exp, lane by lane.
            FloatVector clamped = value.neg().min(Exponential.MOST).max(Exponential.LEAST);
            FloatVector shifted = clamped.fma(
                    FloatVector.broadcast(F, Exponential.LOG2_E), FloatVector.broadcast(F, Exponential.ROUNDER));
            FloatVector n = shifted.sub(Exponential.ROUNDER);
            FloatVector r = n.fma(FloatVector.broadcast(F, -Exponential.LN2_HIGH), clamped);
            r = n.fma(FloatVector.broadcast(F, -Exponential.LN2_LOW), r);
            FloatVector p = FloatVector.broadcast(F, Exponential.C6).fma(r, FloatVector.broadcast(F, Exponential.C5));
            p = p.fma(r, FloatVector.broadcast(F, Exponential.C4));
            p = p.fma(r, FloatVector.broadcast(F, Exponential.C3));
            p = p.fma(r, FloatVector.broadcast(F, Exponential.C2));
            p = p.fma(r, FloatVector.broadcast(F, Exponential.C1));
            p = p.fma(r.mul(r), r).add(1);
            IntVector power = shifted.reinterpretAsInts().lanewise(VectorOperators.LSHL, Exponential.MANTISSA_BITS);
            FloatVector e = p.reinterpretAsInts().add(power).reinterpretAsFloats();
            value.div(e.add(1)).mul(FloatVector.fromArray(F, up, upOffset + i)).intoArray(gate, gateOffset + i);
        }
        for (int i = bound; i < count; i++) {
            float value = gate[gateOffset + i];
            gate[gateOffset + i] = value / (1 + Exponential.exp(-value)) * up[upOffset + i];
        }
    }

    /// Replaces whole vectors of x from `from` until `to` is passed by exp(x - greatest).
    static void exponentials(float[] x, int from, int to, float greatest) {
        for (int i = from; i < to; i += L) {
            // As Exponential.exp, lane by lane.
            FloatVector clamped = FloatVector.fromArray(F, x, i)
                    .sub(greatest)
                    .min(Exponential.MOST)
                    .max(Exponential.LEAST);
            FloatVector shifted = clamped.fma(
                    FloatVector.broadcast(F, Exponential.LOG2_E), FloatVector.broadcast(F, Exponential.ROUNDER));
            FloatVector n = shifted.sub(Exponential.ROUNDER);
            FloatVector r = n.fma(FloatVector.broadcast(F, -Exponential.LN2_HIGH), clamped);
            r = n.fma(FloatVector.broadcast(F, -Exponential.LN2_LOW), r);
            FloatVector p = FloatVector.broadcast(F, Exponential.C6).fma(r, FloatVector.broadcast(F, Exponential.C5));
            p = p.fma(r, FloatVector.broadcast(F, Exponential.C4));
            p = p.fma(r, FloatVector.broadcast(F, Exponential.C3));
            p = p.fma(r, FloatVector.broadcast(F, Exponential.C2));
            p = p.fma(r, FloatVector.broadcast(F, Exponential.C1));
            p = p.fma(r.mul(r), r).add(1);
            IntVector power = shifted.reinterpretAsInts().lanewise(VectorOperators.LSHL, Exponential.MANTISSA_BITS);
            FloatVector e = p.reinterpretAsInts().add(power).reinterpretAsFloats();
            e.intoArray(x, i);
        }
    }

    @Override
    public void attend(
            KvCache cache,
            int layer,
            int kvHead,
            int[] blockTable,
            int position,
            int tokens,
            float[] query,
            int offset,
            int stride,
            int group,
            float[] out,
            float[] scratch) {
        VectorAttention.attend(
                cache, layer, kvHead, blockTable, position, tokens, query, offset, stride, group, out, scratch);
    }
}
