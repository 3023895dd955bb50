package io.penstock.shard.backend.cpu;

import java.util.Arrays;

/// The definition of the arithmetic, one element at a time. Used where vectors are not to be had, and
/// as the oracle.
public final class ScalarKernels implements Kernels {
    @Override
    public String description() {
        return "scalar";
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
        long at = panel * matrix.panelBytes();
        for (int row = 0; row < PackedMatrix.PANEL_ROWS; row++) {
            for (int token = 0; token < tokens; token++) {
                y[yOffset + token * yStride + row] = 0;
            }
            for (int block = 0; block < matrix.blocks(); block++) {
                int first = block * PackedMatrix.BLOCK_COLUMNS;
                for (int k = 0; k < PackedMatrix.BLOCK_COLUMNS; k++) {
                    scratch[k] = matrix.level(at, row, first + k);
                }
                float scale = matrix.scale(at, block, row);
                float minimum = matrix.minimum(at, block, row);
                for (int token = 0; token < tokens; token++) {
                    float sum = 0;
                    for (int k = 0; k < PackedMatrix.BLOCK_COLUMNS; k++) {
                        sum = Math.fma(scratch[k], x[xOffset + token * xStride + first + k], sum);
                    }
                    int to = yOffset + token * yStride + row;
                    if (matrix.elements().hasMinimum()) {
                        y[to] = Math.fma(minimum, sums[sumsOffset + token * matrix.blocks() + block], y[to]);
                    }
                    y[to] = Math.fma(scale, sum, y[to]);
                }
            }
        }
    }

    @Override
    public void blockSums(float[] x, int xOffset, int blocks, float[] sums, int sumsOffset, float[] lanes) {
        for (int block = 0; block < blocks; block++) {
            Arrays.fill(lanes, 0, SUM_LANES, 0);
            for (int k = 0; k < PackedMatrix.BLOCK_COLUMNS; k++) {
                lanes[k % SUM_LANES] += x[xOffset + block * PackedMatrix.BLOCK_COLUMNS + k];
            }
            sums[sumsOffset + block] = Kernels.sumOfLanes(lanes, 0);
        }
    }

    @Override
    public void rmsNorm(
            float[] x, int xOffset, float[] weight, int count, double epsilon, float[] y, int yOffset, float[] lanes) {
        for (int lane = 0; lane < SUM_LANES; lane++) {
            lanes[lane] = 0;
            for (int i = lane; i < count; i += SUM_LANES) {
                lanes[lane] = Math.fma(x[xOffset + i], x[xOffset + i], lanes[lane]);
            }
        }
        float scale = Kernels.normScale(lanes, count, epsilon);
        for (int i = 0; i < count; i++) {
            y[yOffset + i] = x[xOffset + i] * scale * weight[i];
        }
    }

    @Override
    public void add(float[] x, int xOffset, float[] y, int yOffset, int count) {
        for (int i = 0; i < count; i++) {
            y[yOffset + i] += x[xOffset + i];
        }
    }

    @Override
    public void swiglu(float[] gate, int gateOffset, float[] up, int upOffset, int count) {
        for (int i = 0; i < count; i++) {
            float value = gate[gateOffset + i];
            gate[gateOffset + i] = value / (1 + Exponential.exp(-value)) * up[upOffset + i];
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
        for (int token = 0; token < tokens; token++) {
            for (int head = 0; head < group; head++) {
                int at = offset + token * stride + head * cache.headSize();
                attend(cache, layer, kvHead, blockTable, position + token + 1, query, at, out, scratch);
            }
        }
    }

    /// Softmax over segments (arXiv 1805.02867): each has its own maximum, sum and weighted values,
    /// taken over its positions in order; the segments are merged in order.
    private static void attend(
            KvCache cache,
            int layer,
            int kvHead,
            int[] blockTable,
            int length,
            float[] query,
            int at,
            float[] out,
            float[] scratch) {
        int headSize = cache.headSize();
        int segment = Kernels.segmentBlocks(cache.blockSize()) * cache.blockSize();
        float maximum = Float.NEGATIVE_INFINITY;
        float sum = 0;
        for (int from = 0; from < length; from += segment) {
            int count = Math.min(segment, length - from);
            float segmentMaximum = Float.NEGATIVE_INFINITY;
            for (int i = 0; i < count; i++) {
                int position = from + i;
                long keys = cache.keys(layer, blockTable[position / cache.blockSize()], kvHead);
                float score = 0;
                for (int d = 0; d < headSize; d++) {
                    long index = (long) d * cache.keyStride() + position % cache.blockSize();
                    float key = cache.floats().get(KvCache.FLOAT, keys + index * Float.BYTES);
                    score = Math.fma(key, query[at + d], score);
                }
                scratch[i] = score;
                segmentMaximum = Math.max(segmentMaximum, score);
            }
            Arrays.fill(scratch, count, count + SUM_LANES, 0);
            for (int i = 0; i < count; i++) {
                scratch[i] = Exponential.exp(scratch[i] - segmentMaximum);
                scratch[count + i % cache.blockSize() % SUM_LANES] += scratch[i];
            }
            float segmentSum = Kernels.sumOfLanes(scratch, count);
            float newMaximum = Math.max(maximum, segmentMaximum);
            float before = from == 0 ? 0 : Exponential.exp(maximum - newMaximum);
            float here = from == 0 ? 1 : Exponential.exp(segmentMaximum - newMaximum);
            for (int d = 0; d < headSize; d++) {
                float values = 0;
                for (int i = 0; i < count; i++) {
                    int position = from + i;
                    long first = cache.values(layer, blockTable[position / cache.blockSize()], kvHead);
                    long index = (long) (position % cache.blockSize()) * cache.valueStride() + d;
                    float value = cache.floats().get(KvCache.FLOAT, first + index * Float.BYTES);
                    values = Math.fma(value, scratch[i], values);
                }
                out[at + d] = from == 0 ? values : Math.fma(values, here, out[at + d] * before);
            }
            sum = from == 0 ? segmentSum : Math.fma(segmentSum, here, sum * before);
            maximum = newMaximum;
        }
        float inverse = 1 / sum;
        for (int d = 0; d < headSize; d++) {
            out[at + d] *= inverse;
        }
    }
}
