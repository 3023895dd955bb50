package io.penstock.shard.backend.cuda;

import java.util.ArrayList;
import java.util.List;

/// Where a rank's weights lie in device memory. Matrices are bf16, `[outputs, inputs]` row-major, so
/// that one copy
/// serves
/// the library's products and our own kernels; norms and biases are f32.
///
/// @param embedding 0 where the rank does not embed
/// @param outputNorm 0 where the rank does not sample
/// @param output vocabulary rows of this rank; part of `embedding` where tied and both are here
record DeviceWeights(long embedding, List<Layer> layers, long outputNorm, long output) {

    /// @param qkv query, key and value rows one behind another
    /// @param qkvBias 0 where the model has none
    /// @param gateUp tiles of 16 rows: 8 of the gate, then the same 8 of the up projection
    record Layer(long attentionNorm, long qkv, long qkvBias, long output, long mlpNorm, long gateUp, long down) {}

    /// Takes the memory; nothing is written yet.
    static DeviceWeights lay(ShardShape shape, DeviceArena arena) {
        long hidden = shape.hidden();
        boolean embeds = shape.slice().embeds();
        boolean samples = shape.slice().samples();
        long vocabulary = shape.config().vocabularySize();
        long embedding = embeds ? arena.take(vocabulary * hidden * 2) : 0;
        List<Layer> layers = new ArrayList<>();
        for (int i = 0; i < shape.layers(); i++) {
            layers.add(new Layer(
                    arena.take(hidden * 4),
                    arena.take(hidden * shape.qkvSize() * 2),
                    shape.config().attentionBias() ? arena.take(shape.qkvSize() * 4L) : 0,
                    arena.take(hidden * shape.attentionSize() * 2),
                    arena.take(hidden * 4),
                    arena.take(hidden * shape.intermediate() * 4),
                    arena.take(hidden * shape.intermediate() * 2)));
        }
        long norm = samples ? arena.take(hidden * 4) : 0;
        long output = 0;
        if (samples) {
            output = sharesEmbedding(shape)
                    ? embedding + shape.slice().vocabulary().from() * hidden * 2
                    : arena.take(shape.vocabulary() * hidden * 2);
        }
        return new DeviceWeights(embedding, List.copyOf(layers), norm, output);
    }

    static boolean sharesEmbedding(ShardShape shape) {
        return shape.config().tiedEmbeddings() && shape.slice().embeds();
    }
}
