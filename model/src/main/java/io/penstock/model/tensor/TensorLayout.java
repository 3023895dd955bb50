package io.penstock.model.tensor;

import io.penstock.model.config.ModelConfig;
import io.penstock.model.config.RopeScaling;
import java.util.ArrayList;
import java.util.List;

/// One tensor that a configuration implies: its name, its shape, and along what it is parted among ranks.
///
/// @param name canonical, see [TensorNames]
public record TensorLayout(String name, Shape shape, Split split, Place place) {

    /// What a tensor-parallel rank holds of a tensor.
    public enum Split {
        /// All of it, on every rank.
        WHOLE,
        /// Rows of its query heads.
        HEAD_ROWS,
        /// Rows of its key/value heads.
        KV_HEAD_ROWS,
        /// Columns of its query heads; partial sums meet in an all-reduce.
        HEAD_COLUMNS,
        /// Rows of its part of the MLP.
        INTERMEDIATE_ROWS,
        /// Columns of its part of the MLP; partial sums meet in an all-reduce.
        INTERMEDIATE_COLUMNS,
        /// Rows of its part of the vocabulary.
        VOCABULARY_ROWS
    }

    /// Which pipeline stages hold a tensor.
    public sealed interface Place {
        record FirstStage() implements Place {}

        record Layer(int number) implements Place {}

        record LastStage() implements Place {}

        record EveryStage() implements Place {}
    }

    /// Every tensor of a model, in the order a forward pass meets them.
    public static List<TensorLayout> of(ModelConfig config) {
        long hidden = config.hiddenSize();
        long queries = (long) config.heads() * config.headSize();
        long intermediate = config.intermediateSize();
        Shape vector = Shape.of(hidden);
        Shape vocabulary = Shape.of(config.vocabularySize(), hidden);
        Place first = new Place.FirstStage();
        Place last = new Place.LastStage();

        List<TensorLayout> all = new ArrayList<>(config.layers() * LayerTensor.values().length + 4);
        all.add(new TensorLayout(TensorNames.EMBEDDING, vocabulary, Split.WHOLE, first));
        if (config.ropeScaling() instanceof RopeScaling.Divisors) {
            Shape half = Shape.of(config.headSize() / 2);
            all.add(new TensorLayout(TensorNames.ROPE_DIVISORS, half, Split.WHOLE, new Place.EveryStage()));
        }
        for (int number = 0; number < config.layers(); number++) {
            Layer layer = new Layer(all, number);
            layer.add(LayerTensor.ATTENTION_NORM, vector, Split.WHOLE);
            layer.add(LayerTensor.QUERY, Shape.of(queries, hidden), Split.HEAD_ROWS);
            layer.add(LayerTensor.KEY, Shape.of(config.kvSize(), hidden), Split.KV_HEAD_ROWS);
            layer.add(LayerTensor.VALUE, Shape.of(config.kvSize(), hidden), Split.KV_HEAD_ROWS);
            if (config.attentionBias()) {
                layer.add(LayerTensor.QUERY_BIAS, Shape.of(queries), Split.HEAD_ROWS);
                layer.add(LayerTensor.KEY_BIAS, Shape.of(config.kvSize()), Split.KV_HEAD_ROWS);
                layer.add(LayerTensor.VALUE_BIAS, Shape.of(config.kvSize()), Split.KV_HEAD_ROWS);
            }
            layer.add(LayerTensor.ATTENTION_OUTPUT, Shape.of(hidden, queries), Split.HEAD_COLUMNS);
            layer.add(LayerTensor.MLP_NORM, vector, Split.WHOLE);
            layer.add(LayerTensor.GATE, Shape.of(intermediate, hidden), Split.INTERMEDIATE_ROWS);
            layer.add(LayerTensor.UP, Shape.of(intermediate, hidden), Split.INTERMEDIATE_ROWS);
            layer.add(LayerTensor.DOWN, Shape.of(hidden, intermediate), Split.INTERMEDIATE_COLUMNS);
        }
        all.add(new TensorLayout(TensorNames.OUTPUT_NORM, vector, Split.WHOLE, last));
        if (!config.tiedEmbeddings()) {
            all.add(new TensorLayout(TensorNames.OUTPUT, vocabulary, Split.VOCABULARY_ROWS, last));
        }
        return List.copyOf(all);
    }

    private record Layer(List<TensorLayout> all, int number) {
        void add(LayerTensor tensor, Shape shape, Split split) {
            all.add(new TensorLayout(TensorNames.layer(number, tensor), shape, split, new Place.Layer(number)));
        }
    }
}
