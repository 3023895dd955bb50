package io.penstock.shard.backend.cpu;

import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/// Attention on the Vector API: positions are lanes where scores are computed, elements of a head where
/// values are summed.
final class VectorAttention {
    private static final VectorSpecies<Float> F = VectorWidth.FLOATS;
    private static final ByteOrder LITTLE = ByteOrder.LITTLE_ENDIAN;
    private static final int L = F.length();
    private static final long V = F.vectorByteSize();

    private VectorAttention() {}

    static void attend(
            KvCache cache,
            int layer,
            int kvHead,
            int[] blockTable,
            int length,
            float[] query,
            int queryOffset,
            int group,
            float[] out,
            int outOffset,
            float[] scratch) {
        int headSize = cache.headSize();
        int segmentBlocks = Kernels.segmentBlocks(cache.blockSize());
        int segment = segmentBlocks * cache.blockSize();
        int sums = segmentBlocks * cache.keyStride();
        for (int head = 0; head < group; head++) {
            int o = outOffset + head * headSize;
            float maximum = Float.NEGATIVE_INFINITY;
            float sum = 0;
            for (int from = 0; from < length; from += segment) {
                int count = Math.min(segment, length - from);
                float segmentMaximum = scores(
                        cache, layer, kvHead, blockTable, from, count, query, queryOffset + head * headSize, scratch);
                exponentials(scratch, cache, count, segmentMaximum);
                float segmentSum = values(cache, layer, kvHead, blockTable, from, count, scratch, scratch, sums);
                if (from == 0) {
                    System.arraycopy(scratch, sums, out, o, headSize);
                    sum = segmentSum;
                    maximum = segmentMaximum;
                } else {
                    float newMaximum = Math.max(maximum, segmentMaximum);
                    float before = Exponential.exp(maximum - newMaximum);
                    float here = Exponential.exp(segmentMaximum - newMaximum);
                    for (int d = 0; d < headSize; d++) {
                        out[o + d] = Math.fma(scratch[sums + d], here, out[o + d] * before);
                    }
                    sum = Math.fma(segmentSum, here, sum * before);
                    maximum = newMaximum;
                }
            }
            float inverse = 1 / sum;
            for (int d = 0; d < headSize; d++) {
                out[o + d] *= inverse;
            }
        }
    }

    /// Scores of positions `from` to `from + count - 1`, each block's padded to whole vectors.
    ///
    /// @return the greatest
    private static float scores(
            KvCache cache,
            int layer,
            int kvHead,
            int[] blockTable,
            int from,
            int count,
            float[] query,
            int q,
            float[] scores) {
        MemorySegment floats = cache.floats();
        int blockSize = cache.blockSize();
        int stride = cache.keyStride();
        int headSize = cache.headSize();
        FloatVector greatest = FloatVector.broadcast(F, Float.NEGATIVE_INFINITY);
        int first = from / blockSize;
        for (int done = 0, block = 0; done < count; done += blockSize, block++) {
            long keys = cache.keys(layer, blockTable[first + block], kvHead);
            int here = Math.min(blockSize, count - done);
            for (int i = 0; i < here; i += L) {
                FloatVector sum = FloatVector.zero(F);
                long at = keys + (long) i * Float.BYTES;
                for (int d = 0; d < headSize; d++) {
                    sum = FloatVector.fromMemorySegment(F, floats, at + (long) d * stride * Float.BYTES, LITTLE)
                            .fma(FloatVector.broadcast(F, query[q + d]), sum);
                }
                int to = block * stride + i;
                sum.intoArray(scores, to);
                for (int lane = here - i; lane < L; lane++) {
                    scores[to + lane] = Float.NEGATIVE_INFINITY;
                }
                greatest = greatest.max(FloatVector.fromArray(F, scores, to));
            }
        }
        return greatest.reduceLanes(VectorOperators.MAX);
    }

    private static void exponentials(float[] scores, KvCache cache, int count, float maximum) {
        int blockSize = cache.blockSize();
        int blocks = Math.ceilDiv(count, blockSize);
        int bound = (blocks - 1) * cache.keyStride() + count - (blocks - 1) * blockSize;
        for (int i = 0; i < bound; i += L) {
            VectorKernels.exp(FloatVector.fromArray(F, scores, i).sub(maximum)).intoArray(scores, i);
        }
    }

    /// Weighted sum of the values.
    ///
    /// @return the sum of the weights
    private static float values(
            KvCache cache,
            int layer,
            int kvHead,
            int[] blockTable,
            int from,
            int count,
            float[] weights,
            float[] out,
            int o) {
        MemorySegment floats = cache.floats();
        int blockSize = cache.blockSize();
        int stride = cache.valueStride();
        int headSize = cache.headSize();
        int first = from / blockSize;
        float weightSum = 0;
        for (int d = 0; d < headSize; d += 4 * L) {
            int vectors = Math.min(4, Math.ceilDiv(headSize - d, L));
            FloatVector s0 = FloatVector.zero(F);
            FloatVector s1 = s0;
            FloatVector s2 = s0;
            FloatVector s3 = s0;
            weightSum = 0;
            for (int done = 0, block = 0; done < count; done += blockSize, block++) {
                long values = cache.values(layer, blockTable[first + block], kvHead) + (long) d * Float.BYTES;
                int here = Math.min(blockSize, count - done);
                int weightsAt = block * cache.keyStride();
                for (int i = 0; i < here; i++) {
                    float weight = weights[weightsAt + i];
                    weightSum += weight;
                    FloatVector w = FloatVector.broadcast(F, weight);
                    long at = values + (long) i * stride * Float.BYTES;
                    s0 = FloatVector.fromMemorySegment(F, floats, at, LITTLE).fma(w, s0);
                    if (vectors > 1) {
                        s1 = FloatVector.fromMemorySegment(F, floats, at + V, LITTLE)
                                .fma(w, s1);
                    }
                    if (vectors > 2) {
                        s2 = FloatVector.fromMemorySegment(F, floats, at + 2 * V, LITTLE)
                                .fma(w, s2);
                    }
                    if (vectors > 3) {
                        s3 = FloatVector.fromMemorySegment(F, floats, at + 3 * V, LITTLE)
                                .fma(w, s3);
                    }
                }
            }
            // The target has room for whole vectors.
            s0.intoArray(out, o + d);
            if (vectors > 1) {
                s1.intoArray(out, o + d + L);
            }
            if (vectors > 2) {
                s2.intoArray(out, o + d + 2 * L);
            }
            if (vectors > 3) {
                s3.intoArray(out, o + d + 3 * L);
            }
        }
        return weightSum;
    }
}
