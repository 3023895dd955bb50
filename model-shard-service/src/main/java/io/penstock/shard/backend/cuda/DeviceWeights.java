package io.penstock.shard.backend.cuda;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.tensor.LayerTensor;
import io.penstock.model.tensor.RankSlice.Range;
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
    /// @param headNorms `[2, headSize]`, of queries and of keys; 0 where the model has none
    /// @param gateUp tiles of 16 rows: 8 of the gate, then the same 8 of the up projection
    record Layer(
            long attentionNorm,
            Matrix qkv,
            long qkvBias,
            long headNorms,
            Matrix output,
            long mlpNorm,
            Matrix gateUp,
            Matrix down) {}

    /// What matrices are kept in.
    interface Choice {
        /// @param layer its number in the model
        /// @param columns of the parts that a device matrix is made of: this rank's
        /// @param parts tensors, their rows one behind another or in turn
        WeightFormat of(int layer, Range columns, LayerTensor... parts);

        WeightFormat output();
    }

    /// The same for all layers.
    ///
    /// @param layers their matrices
    /// @param output the output matrix
    public record Formats(WeightFormat layers, WeightFormat output) implements Choice {
        public static final Formats WIDE = new Formats(WeightFormat.BF16, WeightFormat.BF16);

        /// @throws PenstockException (bad input) if a model's shape does not take what was asked for
        void check(ShardShape shape) {
            for (WeightFormat format : List.of(layers, output)) {
                if (!format.serves(shape.hidden())) {
                    throw new PenstockException(
                            ErrorCategory.BAD_INPUT,
                            "weights are asked for as %s, which needs a hidden size that is a multiple of %d, not %d: set"
                                    + " penstock.shard.gpu-weights and gpu-output-weights to stored or bf16",
                            format,
                            WeightFormat.GRANULE,
                            shape.hidden());
                }
            }
        }

        @Override
        public WeightFormat of(int layer, Range columns, LayerTensor... parts) {
            return layers;
        }
    }

    /// Takes the memory; nothing is written yet.
    static DeviceWeights lay(ShardShape shape, Choice formats, DeviceArena arena) {
        long hidden = shape.hidden();
        boolean embeds = shape.slice().embeds();
        boolean samples = shape.slice().samples();
        long vocabulary = shape.config().vocabularySize();
        long embedding = embeds ? arena.take(vocabulary * hidden * 2) : 0;
        List<Layer> layers = new ArrayList<>();
        Range all = new Range(0, shape.hidden());
        Range queries = shape.queries();
        Range intermediate = shape.slice().intermediate();
        for (int i = 0; i < shape.layers(); i++) {
            int number = shape.slice().layers().from() + i;
            WeightFormat qkv = formats.of(number, all, LayerTensor.QUERY, LayerTensor.KEY, LayerTensor.VALUE);
            WeightFormat attentionOutput = formats.of(number, queries, LayerTensor.ATTENTION_OUTPUT);
            WeightFormat gateUp = formats.of(number, all, LayerTensor.GATE, LayerTensor.UP);
            WeightFormat down = formats.of(number, intermediate, LayerTensor.DOWN);
            layers.add(new Layer(
                    arena.take(hidden * 4),
                    Matrix.lay(arena, qkv, shape.qkvSize(), hidden, false),
                    shape.config().attentionBias() ? arena.take(shape.qkvSize() * 4L) : 0,
                    shape.config().headNorms() ? arena.take(shape.headSize() * 8L) : 0,
                    Matrix.lay(arena, attentionOutput, hidden, shape.attentionSize(), false),
                    arena.take(hidden * 4),
                    Matrix.lay(arena, gateUp, 2L * shape.intermediate(), hidden, true),
                    Matrix.lay(arena, down, hidden, shape.intermediate(), false)));
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

    static boolean sharesEmbedding(ShardShape shape, Choice formats) {
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
