package io.penstock.shard.backend.cuda;

import io.penstock.model.config.ModelConfig;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/// The kernels between products and attention against the same in plain Java: both sizes of heads, odd numbers of them,
/// both layouts of rotation, biases and norms of heads or none, keys and values of both kinds, vectors of both kinds.
final class SmallCheck {
    // What bf16 and e4m3 round by, and a little for sums in another order.
    private static final double HALF = 1.0 / 240;
    private static final double EIGHTH = 1.0 / 14;

    private SmallCheck() {}

    private record Case(String name, ModelConfig config, int tokens, int sequences) {}

    static void run(CudaDevice device, CudaModules modules) {
        for (Case each : List.of(
                new Case("biased", DecodeCheck.config(160, 96, 7, 1, 64, 100, true), 9, 9),
                new Case("interleaved, large", DecodeCheck.config(1_056, 1_120, 3, 3, 128, 100, false), 17, 2),
                new Case("interleaved, small", DecodeCheck.config(64, 32, 5, 5, 64, 100, false), 11, 4),
                new Case("heads normed", DecodeCheck.normed(96, 544, 6, 2, 128), 133, 3),
                new Case("small heads normed", DecodeCheck.normed(4_128, 8_224, 8, 1, 64), 10, 10))) {
            for (CudaOptions.Activations activations : CudaOptions.Activations.values()) {
                run(device, modules, each, activations);
            }
        }
    }

    private static void run(CudaDevice device, CudaModules modules, Case each, CudaOptions.Activations activations) {
        boolean eights = activations == CudaOptions.Activations.FP8;
        CudaOptions.Kv kv = eights ? CudaOptions.Kv.FP8 : CudaOptions.Kv.BF16;
        CudaOptions.Computing computing = new CudaOptions.Computing(false, false, false, activations, kv);
        try (SmallStage stage = new SmallStage(device, modules, each.config, each.tokens, each.sequences, computing)) {
            String name = "%s, %s".formatted(each.name, activations);
            rotation(name, stage, eights);
            norm(name, stage, eights);
            activation(name, stage, eights);
            if (eights) {
                narrowing(name, stage);
            }
        }
    }

    private static void rotation(String name, SmallStage stage, boolean eights) {
        ShardShape shape = stage.shape;
        StepMemory memory = stage.memory;
        int tokens = stage.bucket.tokens();
        int head = shape.headSize();
        int half = head / 2;
        int heads = shape.heads();
        int kvHeads = shape.kvHeads();
        int all = heads + 2 * kvHeads;
        boolean interleaved = shape.config().ropeLayout() == ModelConfig.RopeLayout.INTERLEAVED;
        float[] qkv = stage.randoms(tokens * shape.qkvSize());
        float[] rope = stage.randoms(stage.longest() * head);
        stage.put(memory.qkv(), qkv);
        stage.put(memory.rope(), rope);
        stage.pass.rotate(stage.bucket, stage.layer, 0);
        float[] queries = stage.halves(memory.queries(), tokens * shape.attentionSize());
        int cached = stage.table.length * stage.table[0].length * kvHeads * 16 * head;
        float[] keys = eights ? stage.eights(memory.keys(0), cached) : stage.halves(memory.keys(0), cached);
        float[] values = eights ? stage.eights(memory.values(0), cached) : stage.halves(memory.values(0), cached);
        float[] left = stage.floats(memory.qkv(), qkv.length);
        Worst query = new Worst(HALF);
        Worst kept = new Worst(eights ? EIGHTH : HALF);
        int notLeft = 0;
        int t = 0;
        for (int row = 0; row < stage.table.length; row++) {
            int count = tokens / stage.table.length + (row < tokens % stage.table.length ? 1 : 0);
            for (int i = 0; i < count; i++, t++) {
                int position = stage.position[t];
                for (int h = 0; h < all; h++) {
                    double[] x = new double[head];
                    double squares = 0;
                    for (int e = 0; e < head; e++) {
                        int at = h * head + e;
                        x[e] = qkv[t * shape.qkvSize() + at] + (stage.bias == null ? 0 : stage.bias[at]);
                        squares += x[e] * x[e];
                        notLeft += left[t * shape.qkvSize() + at]
                                        == (t < StreamedProducts.MAX_VECTORS ? 0 : qkv[t * shape.qkvSize() + at])
                                ? 0
                                : 1;
                    }
                    boolean rotated = h < heads + kvHeads;
                    if (stage.headNorms != null && rotated) {
                        double r = 1 / Math.sqrt(squares / head + shape.config().rmsNormEpsilon());
                        for (int e = 0; e < head; e++) {
                            x[e] *= r * stage.headNorms[(h < heads ? 0 : head) + e];
                        }
                    }
                    for (int p = 0; rotated && p < half; p++) {
                        int a = interleaved ? 2 * p : p;
                        int b = interleaved ? 2 * p + 1 : p + half;
                        double c = rope[2 * (position * half + p)];
                        double s = rope[2 * (position * half + p) + 1];
                        double turned = x[a] * c - x[b] * s;
                        x[b] = x[b] * c + x[a] * s;
                        x[a] = turned;
                    }
                    for (int e = 0; e < head; e++) {
                        if (h < heads) {
                            query.hold(queries[(t * heads + h) * head + e], x[e]);
                        } else {
                            int kvHead = (h - heads) % kvHeads;
                            int block = stage.table[row][position / 16];
                            int at = ((block * kvHeads + kvHead) * 16 + position % 16) * head
                                    + (e ^ (position & 7) << 3);
                            kept.hold((rotated ? keys : values)[at], x[e]);
                        }
                    }
                }
            }
        }
        GpuCheck.report(
                query.good() && kept.good() && notLeft == 0,
                "rotation, %s: queries differ by %s, keys and values by %s; %d of those behind it are not as they should be",
                name,
                query,
                kept,
                notLeft);
    }

    private static void norm(String name, SmallStage stage, boolean eights) {
        int hidden = stage.shape.hidden();
        int tokens = stage.bucket.tokens();
        float[] residual = stage.randoms(tokens * hidden);
        stage.put(stage.memory.residual(), residual);
        stage.pass.norm(stage.bucket, stage.layer.attentionNorm(), stage.layer.qkv());
        double[] expected = new double[residual.length];
        for (int t = 0; t < tokens; t++) {
            double squares = 0;
            for (int i = 0; i < hidden; i++) {
                squares += Math.pow(residual[t * hidden + i], 2);
            }
            double r = 1
                    / Math.sqrt(squares / hidden + (float) stage.shape.config().rmsNormEpsilon());
            for (int i = 0; i < hidden; i++) {
                expected[t * hidden + i] = residual[t * hidden + i] * r * stage.norm[i];
            }
        }
        hold("norm, " + name, stage, eights, stage.memory.normed(), expected, hidden);
    }

    private static void activation(String name, SmallStage stage, boolean eights) {
        int columns = stage.shape.intermediate();
        float[] gateUp = stage.randoms(2 * stage.bucket.tokens() * columns);
        for (int i = 0; i < gateUp.length; i++) {
            gateUp[i] *= i % 97 == 0 ? 60 : 2;
        }
        stage.putHalves(stage.memory.gateUp(), gateUp);
        stage.pass.activate(stage.bucket, stage.next(columns));
        double[] expected = new double[gateUp.length / 2];
        for (int i = 0; i < expected.length; i++) {
            double gate = gateUp[i / 8 * 16 + i % 8];
            expected[i] = gate / (1 + Math.exp(-gate)) * gateUp[i / 8 * 16 + 8 + i % 8];
        }
        hold("gates and ups, " + name, stage, eights, stage.memory.activated(), expected, columns);
    }

    private static void narrowing(String name, SmallStage stage) {
        int columns = stage.shape.intermediate();
        float[] wide = stage.randoms(stage.bucket.tokens() * columns);
        // A vector of zeros is one.
        Arrays.fill(wide, columns, 2 * columns, 0);
        stage.putHalves(stage.memory.activated(), wide);
        stage.pass.narrow(stage.next(columns), stage.memory.activated(), stage.bucket);
        double[] expected = new double[wide.length];
        for (int i = 0; i < wide.length; i++) {
            expected[i] = wide[i];
        }
        hold("narrowing, " + name, stage, true, 0, expected, columns);
    }

    private static void hold(String name, SmallStage stage, boolean eights, long wide, double[] expected, int columns) {
        Worst worst = new Worst(eights ? EIGHTH : HALF);
        Worst scales = new Worst(1.0 / 100);
        float[] actual =
                eights ? stage.eights(stage.memory.eights(), expected.length) : stage.halves(wide, expected.length);
        float[] scale = eights ? stage.floats(stage.memory.eightScales(), expected.length / columns) : null;
        for (int row = 0; row < expected.length; row += columns) {
            double most = 0;
            for (int i = row; i < row + columns; i++) {
                most = Math.max(most, Math.abs(expected[i]));
            }
            double by = eights ? most > 0 ? most / 448 : 1 : 1;
            if (eights) {
                scales.hold(scale[row / columns], by);
            }
            for (int i = row; i < row + columns; i++) {
                worst.hold(actual[i], expected[i] / by);
            }
        }
        GpuCheck.report(worst.good() && scales.good(), "%s: differ by %s, scales by %s", name, worst, scales);
    }

    /// The largest difference, in parts of what is expected; of small values, in parts of what the format's steps are.
    private static final class Worst {
        private final double allowed;
        private double most;

        Worst(double allowed) {
            this.allowed = allowed;
        }

        void hold(double actual, double expected) {
            double difference = Math.abs(actual - expected) / Math.max(Math.abs(expected), 1.0 / 64);
            // Not a number is never good.
            most = difference <= most ? most : difference;
        }

        boolean good() {
            return most <= allowed;
        }

        @Override
        public String toString() {
            return String.format(Locale.ROOT, "%.1e", most);
        }
    }
}
