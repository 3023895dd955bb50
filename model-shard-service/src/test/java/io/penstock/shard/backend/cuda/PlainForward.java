package io.penstock.shard.backend.cuda;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import io.penstock.model.config.ModelConfig;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.function.DoubleUnaryOperator;
import java.util.function.ToLongFunction;

/// A sequence through a model in plain double arithmetic, with weights where an [InterpretedDevice] keeps them: what
/// its kernels must come to, but for their rounding of vectors to bf16. Weights that are not bf16 are widened by the
/// kernel that does so, which [FormatCheck] holds against plain Java.
final class PlainForward {
    private static final MemorySegment MEMORY = InterpretedDevice.memory(0, Long.MAX_VALUE);

    private final ModelConfig config;
    private final DeviceWeights weights;
    private final DoubleUnaryOperator kept;
    private final ToLongFunction<Matrix> wide;
    private final List<List<double[]>> keys = new ArrayList<>();
    private final List<List<double[]>> values = new ArrayList<>();

    /// @param kept how keys and values are rounded
    /// @param wide where a matrix is as bf16
    PlainForward(ModelConfig config, DeviceWeights weights, DoubleUnaryOperator kept, ToLongFunction<Matrix> wide) {
        this.wide = wide;
        this.config = config;
        this.weights = weights;
        this.kept = kept;
        for (int i = 0; i < config.layers(); i++) {
            keys.add(new ArrayList<>());
            values.add(new ArrayList<>());
        }
    }

    /// The sequence goes on with a token.
    ///
    /// @return its logits
    float[] next(int token) {
        int hidden = config.hiddenSize();
        double[] residual = row(weights.embedding(), token, hidden);
        for (int layer = 0; layer < config.layers(); layer++) {
            DeviceWeights.Layer of = weights.layers().get(layer);
            double[] qkv = product(of.qkv(), normed(residual, of.attentionNorm()));
            add(residual, product(of.output(), attended(layer, of, qkv)));
            double[] gateUp = product(of.gateUp(), normed(residual, of.mlpNorm()));
            add(residual, product(of.down(), activated(gateUp)));
        }
        double[] logits = product(weights.output(), normed(residual, weights.outputNorm()));
        float[] floats = new float[logits.length];
        for (int i = 0; i < floats.length; i++) {
            floats[i] = (float) logits[i];
        }
        return floats;
    }

    private static double[] row(long matrix, int row, int columns) {
        double[] values = new double[columns];
        for (int i = 0; i < columns; i++) {
            int bits = MEMORY.get(JAVA_SHORT, matrix + 2L * ((long) row * columns + i)) << 16;
            values[i] = Float.intBitsToFloat(bits);
        }
        return values;
    }

    private static double floatAt(long vector, int index) {
        return MEMORY.get(JAVA_FLOAT, vector + 4L * index);
    }

    private double[] product(Matrix matrix, double[] vector) {
        long address = wide.applyAsLong(matrix);
        double[] sums = new double[matrix.rows()];
        for (int r = 0; r < sums.length; r++) {
            double[] row = row(address, r, matrix.columns());
            for (int c = 0; c < row.length; c++) {
                sums[r] += row[c] * vector[c];
            }
        }
        return sums;
    }

    private static void add(double[] to, double[] from) {
        for (int i = 0; i < to.length; i++) {
            to[i] += from[i];
        }
    }

    private double[] normed(double[] vector, long weight) {
        return normed(vector, 0, vector.length, weight);
    }

    private double[] normed(double[] vector, int from, int count, long weight) {
        double squares = 0;
        for (int i = 0; i < count; i++) {
            squares += vector[from + i] * vector[from + i];
        }
        double factor = 1 / Math.sqrt(squares / count + config.rmsNormEpsilon());
        double[] out = new double[count];
        for (int i = 0; i < count; i++) {
            out[i] = vector[from + i] * factor * floatAt(weight, i);
        }
        return out;
    }

    /// A head's query or key, turned by its position.
    private double[] turned(double[] head, int position) {
        int size = head.length;
        double[] out = new double[size];
        for (int i = 0; i < size / 2; i++) {
            double angle = position * Math.pow(config.ropeTheta(), -2.0 * i / size);
            boolean halves = config.ropeLayout() == ModelConfig.RopeLayout.HALVES;
            int a = halves ? i : 2 * i;
            int b = halves ? i + size / 2 : 2 * i + 1;
            out[a] = head[a] * Math.cos(angle) - head[b] * Math.sin(angle);
            out[b] = head[b] * Math.cos(angle) + head[a] * Math.sin(angle);
        }
        return out;
    }

    private double[] head(DeviceWeights.Layer of, double[] qkv, int index, int position) {
        int size = config.headSize();
        double[] head = new double[size];
        for (int i = 0; i < size; i++) {
            head[i] = qkv[index * size + i] + (of.qkvBias() == 0 ? 0 : floatAt(of.qkvBias(), index * size + i));
        }
        if (index >= config.heads() + config.kvHeads()) {
            return head;
        }
        if (of.headNorms() != 0) {
            long norm = of.headNorms() + (index < config.heads() ? 0 : 4L * size);
            head = normed(head, 0, size, norm);
        }
        return turned(head, position);
    }

    private double[] attended(int layer, DeviceWeights.Layer of, double[] qkv) {
        int size = config.headSize();
        int position = keys.get(layer).size() / config.kvHeads();
        for (int kv = 0; kv < config.kvHeads(); kv++) {
            keys.get(layer).add(rounded(head(of, qkv, config.heads() + kv, position)));
            values.get(layer).add(rounded(head(of, qkv, config.heads() + config.kvHeads() + kv, position)));
        }
        double[] out = new double[config.heads() * size];
        for (int h = 0; h < config.heads(); h++) {
            double[] query = head(of, qkv, h, position);
            int kv = h / (config.heads() / config.kvHeads());
            double[] weight = new double[position + 1];
            double sum = 0;
            for (int p = 0; p <= position; p++) {
                double[] key = keys.get(layer).get(p * config.kvHeads() + kv);
                double score = 0;
                for (int i = 0; i < size; i++) {
                    score += query[i] * key[i];
                }
                weight[p] = Math.exp(score / Math.sqrt(size));
                sum += weight[p];
            }
            for (int p = 0; p <= position; p++) {
                double[] value = values.get(layer).get(p * config.kvHeads() + kv);
                for (int i = 0; i < size; i++) {
                    out[h * size + i] += weight[p] / sum * value[i];
                }
            }
        }
        return out;
    }

    private double[] rounded(double[] vector) {
        double[] out = new double[vector.length];
        for (int i = 0; i < out.length; i++) {
            out[i] = kept.applyAsDouble(vector[i]);
        }
        return out;
    }

    private static double[] activated(double[] gateUp) {
        double[] out = new double[gateUp.length / 2];
        for (int i = 0; i < out.length; i++) {
            double gate = gateUp[i / 8 * 16 + i % 8];
            out[i] = gate / (1 + Math.exp(-gate)) * gateUp[i / 8 * 16 + i % 8 + 8];
        }
        return out;
    }
}
