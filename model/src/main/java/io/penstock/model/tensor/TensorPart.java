package io.penstock.model.tensor;

import io.penstock.model.config.LatentAttention;
import io.penstock.model.config.ModelConfig;
import io.penstock.model.tensor.RankSlice.Range;
import java.util.ArrayList;
import java.util.List;

/// What one rank holds of one tensor: some rows, and of them some columns. A vector is a matrix of one column.
///
/// @param rows within the whole tensor
/// @param columns within the whole tensor
public record TensorPart(TensorLayout tensor, Range rows, Range columns) {
    public TensorPart {
        Shape shape = tensor.shape();
        if (rows.to() > shape.extent(0) || columns.to() > columns(shape)) {
            throw new IllegalArgumentException(
                    "rows %s, columns %s of %s %s".formatted(rows, columns, tensor.name(), shape));
        }
    }

    /// @return whether the rank holds all of the tensor
    public boolean isWhole() {
        return rows.count() == tensor.shape().extent(0) && hasWholeRows();
    }

    public boolean hasWholeRows() {
        return columns.count() == columns(tensor.shape());
    }

    /// What a rank holds, in the order of a forward pass; each tensor once.
    ///
    /// Where embeddings are tied, the output matrix is `embedding`: the first stage holds all of its rows, the
    /// last one those of [RankSlice#vocabulary], and a stage that is both holds all.
    public static List<TensorPart> of(ModelConfig config, RankSlice slice) {
        List<TensorPart> parts = new ArrayList<>();
        TensorPart tiedOutput = null;
        for (TensorLayout tensor : TensorLayout.of(config)) {
            boolean here = switch (tensor.place()) {
                case TensorLayout.Place.FirstStage() -> slice.embeds();
                case TensorLayout.Place.LastStage() -> slice.samples();
                case TensorLayout.Place.EveryStage() -> true;
                case TensorLayout.Place.Layer(int number) -> slice.layers().contains(number);
                case TensorLayout.Place.Expert(int layer, int number) ->
                    slice.layers().contains(layer) && slice.experts().contains(number);
            };
            if (here) {
                parts.add(of(config, slice, tensor));
            } else if (config.tiedEmbeddings()
                    && slice.samples()
                    && tensor.name().equals(TensorNames.EMBEDDING)) {
                tiedOutput = new TensorPart(tensor, slice.vocabulary(), all(columns(tensor.shape())));
            }
        }
        if (tiedOutput != null) {
            parts.add(tiedOutput);
        }
        return List.copyOf(parts);
    }

    private static TensorPart of(ModelConfig config, RankSlice slice, TensorLayout tensor) {
        Range rows = all(tensor.shape().extent(0));
        Range columns = all(columns(tensor.shape()));
        Range heads = slice.heads().times(config.headSize());
        return switch (tensor.split()) {
            case WHOLE -> new TensorPart(tensor, rows, columns);
            case HEAD_ROWS -> new TensorPart(tensor, heads, columns);
            case KV_HEAD_ROWS -> new TensorPart(tensor, slice.kvHeads().times(config.headSize()), columns);
            case HEAD_COLUMNS -> new TensorPart(tensor, rows, slice.heads().times(config.valueSize()));
            case LATENT_HEAD_ROWS -> {
                LatentAttention latent = config.latent().orElseThrow();
                yield new TensorPart(tensor, slice.heads().times(latent.plainSize() + latent.valueSize()), columns);
            }
            case LATENT_KEY_ROWS ->
                new TensorPart(
                        tensor,
                        slice.heads().times(config.latent().orElseThrow().keyRank()),
                        columns);
            case LATENT_VALUE_ROWS -> new TensorPart(tensor, slice.heads().times(config.valueSize()), columns);
            case SHARED_ROWS -> new TensorPart(tensor, slice.shared(), columns);
            case SHARED_COLUMNS -> new TensorPart(tensor, rows, slice.shared());
            case INTERMEDIATE_ROWS -> new TensorPart(tensor, slice.intermediate(), columns);
            case INTERMEDIATE_COLUMNS -> new TensorPart(tensor, rows, slice.intermediate());
            case VOCABULARY_ROWS -> new TensorPart(tensor, slice.vocabulary(), columns);
        };
    }

    private static long columns(Shape shape) {
        return shape.rank() == 1 ? 1 : shape.extent(1);
    }

    private static Range all(long extent) {
        return new Range(0, Math.toIntExact(extent));
    }
}
