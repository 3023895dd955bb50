package io.penstock.model.tensor;

import io.penstock.model.config.Experts;
import io.penstock.model.config.LatentAttention;
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
        /// Rows of its query heads, of which each has a plain key and a value.
        LATENT_HEAD_ROWS,
        /// Rows of its query heads, of which each has the transpose of what makes its plain keys.
        LATENT_KEY_ROWS,
        /// Rows of its query heads, of which each has what makes its values.
        LATENT_VALUE_ROWS,
        /// Rows of its part of the MLP that stands beside experts.
        SHARED_ROWS,
        /// Columns of that; partial sums meet in an all-reduce.
        SHARED_COLUMNS,
        /// Rows of its part of the vocabulary.
        VOCABULARY_ROWS
    }

    /// Which pipeline stages hold a tensor.
    public sealed interface Place {
        record FirstStage() implements Place {}

        record Layer(int number) implements Place {}

        /// Where the layer is, on the one tensor-parallel rank that has the expert.
        record Expert(int layer, int number) implements Place {}

        record LastStage() implements Place {}

        record EveryStage() implements Place {}
    }

    /// Every tensor of a model, in the order a forward pass meets them.
    public static List<TensorLayout> of(ModelConfig config) {
        long hidden = config.hiddenSize();
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
            Layer layer = new Layer(all, config, number);
            layer.add(LayerTensor.ATTENTION_NORM, vector, Split.WHOLE);
            if (config.latent().isPresent()) {
                layer.latentAttention(config.latent().get());
            } else {
                layer.attention();
            }
            layer.add(
                    LayerTensor.ATTENTION_OUTPUT,
                    Shape.of(hidden, (long) config.heads() * config.valueSize()),
                    Split.HEAD_COLUMNS);
            layer.add(LayerTensor.MLP_NORM, vector, Split.WHOLE);
            if (config.hasExperts(number)) {
                layer.experts(config.experts().orElseThrow());
            } else {
                layer.mlp();
            }
        }
        all.add(new TensorLayout(TensorNames.OUTPUT_NORM, vector, Split.WHOLE, last));
        if (!config.tiedEmbeddings()) {
            all.add(new TensorLayout(TensorNames.OUTPUT, vocabulary, Split.VOCABULARY_ROWS, last));
        }
        return List.copyOf(all);
    }

    private record Layer(List<TensorLayout> all, ModelConfig config, int number) {
        void add(LayerTensor tensor, Shape shape, Split split) {
            all.add(new TensorLayout(TensorNames.layer(number, tensor), shape, split, new Place.Layer(number)));
        }

        void attention() {
            long hidden = config.hiddenSize();
            long queries = (long) config.heads() * config.headSize();
            add(LayerTensor.QUERY, Shape.of(queries, hidden), Split.HEAD_ROWS);
            add(LayerTensor.KEY, Shape.of(config.kvSize(), hidden), Split.KV_HEAD_ROWS);
            add(LayerTensor.VALUE, Shape.of(config.kvSize(), hidden), Split.KV_HEAD_ROWS);
            if (config.attentionBias()) {
                add(LayerTensor.QUERY_BIAS, Shape.of(queries), Split.HEAD_ROWS);
                add(LayerTensor.KEY_BIAS, Shape.of(config.kvSize()), Split.KV_HEAD_ROWS);
                add(LayerTensor.VALUE_BIAS, Shape.of(config.kvSize()), Split.KV_HEAD_ROWS);
            }
            if (config.headNorms()) {
                add(LayerTensor.QUERY_NORM, Shape.of(config.headSize()), Split.WHOLE);
                add(LayerTensor.KEY_NORM, Shape.of(config.headSize()), Split.WHOLE);
            }
        }

        void latentAttention(LatentAttention latent) {
            long hidden = config.hiddenSize();
            long heads = config.heads();
            long made = latent.queryRank() == 0 ? hidden : latent.queryRank();
            if (latent.queryRank() > 0) {
                add(LayerTensor.QUERY_DOWN, Shape.of(latent.queryRank(), hidden), Split.WHOLE);
                add(LayerTensor.QUERY_DOWN_NORM, Shape.of(latent.queryRank()), Split.WHOLE);
            }
            add(LayerTensor.QUERY, Shape.of(heads * config.headSize(), made), Split.HEAD_ROWS);
            add(LayerTensor.KV_DOWN, Shape.of(latent.cachedSize(), hidden), Split.WHOLE);
            add(LayerTensor.KV_DOWN_NORM, Shape.of(latent.keyRank()), Split.WHOLE);
            if (latent.apart()) {
                add(LayerTensor.KEY_UP, Shape.of(heads * latent.keyRank(), latent.plainSize()), Split.LATENT_KEY_ROWS);
                add(
                        LayerTensor.VALUE_UP,
                        Shape.of(heads * latent.valueSize(), latent.keyRank()),
                        Split.LATENT_VALUE_ROWS);
                return;
            }
            add(
                    LayerTensor.KV_UP,
                    Shape.of(heads * (latent.plainSize() + latent.valueSize()), latent.keyRank()),
                    Split.LATENT_HEAD_ROWS);
        }

        void mlp() {
            long hidden = config.hiddenSize();
            long intermediate = config.intermediateSize();
            add(LayerTensor.GATE, Shape.of(intermediate, hidden), Split.INTERMEDIATE_ROWS);
            add(LayerTensor.UP, Shape.of(intermediate, hidden), Split.INTERMEDIATE_ROWS);
            add(LayerTensor.DOWN, Shape.of(hidden, intermediate), Split.INTERMEDIATE_COLUMNS);
        }

        void experts(Experts experts) {
            long hidden = config.hiddenSize();
            add(LayerTensor.ROUTER, Shape.of(experts.count(), hidden), Split.WHOLE);
            if (experts.routing() == Experts.Routing.BIASED_SIGMOID) {
                add(LayerTensor.ROUTER_BIAS, Shape.of(experts.count()), Split.WHOLE);
            }
            if (experts.sharedSize() > 0) {
                add(LayerTensor.SHARED_GATE, Shape.of(experts.sharedSize(), hidden), Split.SHARED_ROWS);
                add(LayerTensor.SHARED_UP, Shape.of(experts.sharedSize(), hidden), Split.SHARED_ROWS);
                add(LayerTensor.SHARED_DOWN, Shape.of(hidden, experts.sharedSize()), Split.SHARED_COLUMNS);
            }
            Shape in = Shape.of(experts.intermediateSize(), hidden);
            Shape out = Shape.of(hidden, experts.intermediateSize());
            for (int expert = 0; expert < experts.count(); expert++) {
                for (ExpertTensor tensor : ExpertTensor.values()) {
                    all.add(new TensorLayout(
                            TensorNames.expert(number, expert, tensor),
                            tensor == ExpertTensor.DOWN ? out : in,
                            Split.WHOLE,
                            new Place.Expert(number, expert)));
                }
            }
        }
    }
}
