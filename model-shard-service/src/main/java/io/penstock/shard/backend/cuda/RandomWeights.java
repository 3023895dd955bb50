package io.penstock.shard.backend.cuda;

import io.penstock.shard.backend.cuda.Launcher.Grid;

/// Random weights of a model's shape, made on the device.
final class RandomWeights {
    private static final float SCALE = 0.02f;

    private RandomWeights() {}

    static void fill(CudaDevice device, CudaModules modules, ShardShape shape, DeviceWeights weights) {
        Kernel random = modules.kernel("elementwise", "randomWeights");
        Kernel fill = modules.kernel("elementwise", "fill");
        long hidden = shape.hidden();
        Filler filler = new Filler(device, random, fill);
        if (weights.embedding() != 0) {
            filler.matrix(weights.embedding(), hidden * shape.config().vocabularySize());
        }
        for (DeviceWeights.Layer layer : weights.layers()) {
            filler.vector(layer.attentionNorm(), hidden, 1);
            filler.matrix(layer.qkv(), hidden * shape.qkvSize());
            if (layer.qkvBias() != 0) {
                filler.vector(layer.qkvBias(), shape.qkvSize(), 0.01f);
            }
            filler.matrix(layer.output(), hidden * shape.attentionSize());
            filler.vector(layer.mlpNorm(), hidden, 1);
            filler.matrix(layer.gateUp(), 2 * hidden * shape.intermediate());
            filler.matrix(layer.down(), hidden * shape.intermediate());
        }
        if (shape.slice().samples()) {
            filler.vector(weights.outputNorm(), hidden, 1);
            if (!DeviceWeights.sharesEmbedding(shape)) {
                filler.matrix(weights.output(), hidden * shape.vocabulary());
            }
        }
        device.synchronize();
    }

    private static final class Filler {
        private final CudaDevice device;
        private final Kernel random;
        private final Kernel fill;
        private int seed;

        Filler(CudaDevice device, Kernel random, Kernel fill) {
            this.device = device;
            this.random = random;
            this.fill = fill;
        }

        void matrix(long to, long count) {
            device.launch(random, Grid.of(8 * device.multiprocessors(), 256), to, count, SCALE, ++seed * 7_919);
        }

        void vector(long to, long count, float value) {
            device.launch(fill, Grid.of(device.multiprocessors(), 256), to, count, value);
        }
    }
}
