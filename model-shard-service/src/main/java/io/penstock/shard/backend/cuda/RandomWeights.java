package io.penstock.shard.backend.cuda;

import io.penstock.shard.backend.cuda.Launcher.Grid;

/// Random weights of a model's shape, made on the device; the same ones in any format.
final class RandomWeights {
    private static final float SCALE = 0.02f;

    private RandomWeights() {}

    static void fill(CudaDevice device, CudaModules modules, ShardShape shape, DeviceWeights weights) {
        long hidden = shape.hidden();
        try (Quantizer quantizer = new Quantizer(device, modules, weights.matrices())) {
            Filler filler = new Filler(device, modules, quantizer);
            if (weights.embedding() != 0) {
                filler.values(weights.embedding(), hidden * shape.config().vocabularySize());
            }
            for (DeviceWeights.Layer layer : weights.layers()) {
                filler.vector(layer.attentionNorm(), hidden, 1);
                filler.matrix(layer.qkv());
                if (layer.qkvBias() != 0) {
                    filler.vector(layer.qkvBias(), shape.qkvSize(), 0.01f);
                }
                if (layer.headNorms() != 0) {
                    filler.vector(layer.headNorms(), 2L * shape.headSize(), 1);
                }
                filler.matrix(layer.output());
                filler.vector(layer.mlpNorm(), hidden, 1);
                filler.matrix(layer.gateUp());
                filler.matrix(layer.down());
            }
            if (shape.slice().samples()) {
                filler.vector(weights.outputNorm(), hidden, 1);
                long embedded = weights.embedding()
                        + 2 * hidden * shape.slice().vocabulary().from();
                if (weights.embedding() == 0 || weights.output().address() != embedded) {
                    filler.matrix(weights.output());
                }
            }
            device.synchronize();
        }
    }

    private static final class Filler {
        private final CudaDevice device;
        private final Kernel random;
        private final Kernel fill;
        private final Quantizer quantizer;
        private int seed;

        Filler(CudaDevice device, CudaModules modules, Quantizer quantizer) {
            this.device = device;
            this.quantizer = quantizer;
            random = modules.kernel("elementwise", "randomWeights");
            fill = modules.kernel("elementwise", "fill");
        }

        void matrix(Matrix matrix) {
            values(quantizer.landing(matrix), (long) matrix.rows() * matrix.columns());
            quantizer.landed(matrix);
        }

        void values(long to, long count) {
            device.launch(random, Grid.of(8 * device.multiprocessors(), 256), to, count, SCALE, ++seed * 7_919);
        }

        void vector(long to, long count, float value) {
            device.launch(fill, Grid.of(device.multiprocessors(), 256), to, count, value);
        }
    }
}
