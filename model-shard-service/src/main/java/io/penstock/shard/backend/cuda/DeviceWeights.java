package io.penstock.shard.backend.cuda;

import java.util.ArrayList;
import java.util.List;

/// Where a rank's weights lie in device memory: one copy of each serves all kernels. The embedding
/// is bf16, row-major; norms and biases are f32.
///
/// @param embedding 0 where the rank does not embed
/// @param outputNorm 0 where the rank does not sample
/// @param output vocabulary rows of this rank, null where it does not sample; part of
///     `embedding` where tied, both are here and it is bf16
record DeviceWeights(long embedding, List<Layer> layers, long outputNorm, Matrix output) {

    /// @param qkv query, key and value rows one behind another
    /// @param qkvBias 0 where the model has none
    /// @param gateUp tiles of 16 rows: 8 of the gate, then the same 8 of the up projection
    record Layer(
            long attentionNorm, Matrix qkv, long qkvBias, Matrix output, long mlpNorm, Matrix gateUp, Matrix down) {}

    /// What matrices are kept in.
    ///
    /// @param layers those of layers
    /// @param output the output matrix
    public record Formats(WeightFormat layers, WeightFormat output) {
        public static final Formats WIDE = new Formats(WeightFormat.BF16, WeightFormat.BF16);
    }

    /// Takes the memory; nothing is written yet.
    static DeviceWeights lay(ShardShape shape, Formats formats, DeviceArena arena) {
        long hidden = shape.hidden();
        boolean embeds = shape.slice().embeds();
        boolean samples = shape.slice().samples();
        long vocabulary = shape.config().vocabularySize();
        long embedding = embeds ? arena.take(vocabulary * hidden * 2) : 0;
        List<Layer> layers = new ArrayList<>();
        for (int i = 0; i < shape.layers(); i++) {
            layers.add(new Layer(
                    arena.take(hidden * 4),
                    Matrix.lay(arena, formats.layers(), shape.qkvSize(), hidden, false),
                    shape.config().attentionBias() ? arena.take(shape.qkvSize() * 4L) : 0,
                    Matrix.lay(arena, formats.layers(), hidden, shape.attentionSize(), false),
                    arena.take(hidden * 4),
                    Matrix.lay(arena, formats.layers(), 2L * shape.intermediate(), hidden, true),
                    Matrix.lay(arena, formats.layers(), hidden, shape.intermediate(), false)));
        }
        long norm = samples ? arena.take(hidden * 4) : 0;
        Matrix output = null;
        if (samples) {
            output = sharesEmbedding(shape, formats)
                    ? new Matrix(
                            embedding + shape.slice().vocabulary().from() * hidden * 2,
                            0,
                            WeightFormat.BF16,
                            shape.vocabulary(),
                            shape.hidden(),
                            false)
                    : Matrix.lay(arena, formats.output(), shape.vocabulary(), hidden, false);
        }
        return new DeviceWeights(embedding, List.copyOf(layers), norm, output);
    }

    static boolean sharesEmbedding(ShardShape shape, Formats formats) {
        return shape.config().tiedEmbeddings() && shape.slice().embeds() && formats.output() == WeightFormat.BF16;
    }

    /// All but the embedding.
    List<Matrix> matrices() {
        List<Matrix> all = new ArrayList<>();
        for (Layer layer : layers) {
            all.addAll(List.of(layer.qkv, layer.output, layer.gateUp, layer.down));
        }
        if (output != null) {
            all.add(output);
        }
        return all;
    }

    /// Bytes that a step of few rows reads; biases and norms are left out.
    long bytesAStep() {
        return matrices().stream().mapToLong(Matrix::bytes).sum();
    }
}
