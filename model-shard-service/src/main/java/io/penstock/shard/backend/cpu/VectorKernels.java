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
/// that stays in the first-level cache).
public final class VectorKernels implements Kernels {
    static final ByteOrder LITTLE = ByteOrder.LITTLE_ENDIAN;

    private static final VectorSpecies<Float> F = VectorWidth.FLOATS;
    /// Lanes of a vector.
    private static final int L = F.length();

    /// Columns that are unpacked at a time.
    private static final int UNPACKED_BLOCKS = 2;

    private static final long CACHE_LINE = 64;

    /// From so many tokens on it pays to unpack into scratch.
    private static final int LEAST_FOR_SCRATCH = 12;

    /// The same of 4-bit weights where [VectorQuads] would have more sums and scales than there are
    /// registers.
    private static final int LEAST_FOR_SCRATCH_NARROW = 2;

    /// Whether there are 16 vector registers only.
    private static final boolean NARROW = L < 16;

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
            float[] y,
            int yOffset,
            int yStride,
            MemorySegment scratch) {
        Elements elements = matrix.elements();
        if (tokens == 1 && NARROW && elements.isQuantised()) {
            VectorNarrowDecode.multiply(matrix, panel, x, xOffset, y, yOffset);
            return;
        }
        if (tokens < LEAST_FOR_SCRATCH && (NARROW || elements == Elements.Q8_0)) {
            fetch(matrix, panel, scratch);
        }
        if (tokens == 1) {
            VectorDecode.multiply(matrix, panel, x, xOffset, y, yOffset);
            return;
        }
        if (tokens < leastForScratch(elements) && elements != Elements.F32) {
            VectorQuads.multiply(matrix, panel, x, xOffset, xStride, tokens, y, yOffset, yStride);
            return;
        }
        int blocks = matrix.blocks();
        int blockBytes = matrix.blockBytes();
        long at = panel * matrix.panelBytes();
        for (int token = 0; token < tokens; token++) {
            Arrays.fill(y, yOffset + token * yStride, yOffset + token * yStride + PackedMatrix.PANEL_ROWS, 0f);
        }
        for (int block = 0; block < blocks; block += UNPACKED_BLOCKS) {
            int here = Math.min(UNPACKED_BLOCKS, blocks - block);
            MemorySegment weights = scratch;
            long weightsAt = 0;
            if (elements == Elements.F32) {
                weights = matrix.words();
                weightsAt = at;
            } else {
                VectorUnpacking.unpack(matrix, at, here, scratch);
            }
            VectorTiles.multiply(
                    weights,
                    weightsAt,
                    here * PackedMatrix.BLOCK_COLUMNS,
                    x,
                    xOffset + block * PackedMatrix.BLOCK_COLUMNS,
                    xStride,
                    tokens,
                    y,
                    yOffset,
                    yStride);
            at += (long) here * blockBytes;
        }
    }

    private static int leastForScratch(Elements elements) {
        return switch (elements) {
            case Q4_0, Q4_1 -> NARROW ? LEAST_FOR_SCRATCH_NARROW : LEAST_FOR_SCRATCH;
            case F32, F16, BF16, Q8_0 -> LEAST_FOR_SCRATCH;
        };
    }

    /// Brings a panel into the cache: one load a line and nothing else, so that many lines are under
    /// way at a time. Measured on Zen 5: 8-bit weights that are not in the cache come twice as fast so
    /// (20 against 10 GB/s a thread); 4-bit and 16-bit ones come faster without (22 and 36 GB/s). With
    /// 256-bit vectors, which go through a panel in several passes, on Zen 3, all come a tenth to a half faster.
    private static void fetch(PackedMatrix matrix, int panel, MemorySegment scratch) {
        MemorySegment words = matrix.words();
        long from = panel * matrix.panelBytes();
        int lines = (int) (matrix.panelBytes() / CACHE_LINE);
        int sum = 0;
        for (int line = 0; line < lines; line++) {
            sum += words.get(ValueLayout.JAVA_INT_UNALIGNED, from + line * CACHE_LINE);
        }
        // Or the compiler would see that nobody wants it.
        scratch.set(ValueLayout.JAVA_INT_UNALIGNED, 0, sum);
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
