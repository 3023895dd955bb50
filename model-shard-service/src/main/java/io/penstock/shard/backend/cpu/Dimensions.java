package io.penstock.shard.backend.cpu;

import io.penstock.model.config.ModelConfig;
import io.penstock.model.tensor.RankSlice;

/// Sizes of this rank's vectors. Strides are padded to whole panels, as the kernels write them.
///
/// @param hidden elements of a token between layers
/// @param group query heads that share a key/value head
record Dimensions(
        int layers,
        int hidden,
        int hiddenStride,
        int heads,
        int kvHeads,
        int group,
        int headSize,
        int queryStride,
        int kvStride,
        int intermediateStride,
        int vocabularyStride) {

    static Dimensions of(ModelConfig config, RankSlice slice) {
        int headSize = config.headSize();
        return new Dimensions(
                slice.layers().count(),
                config.hiddenSize(),
                padded(config.hiddenSize()),
                slice.heads().count(),
                slice.kvHeads().count(),
                config.heads() / config.kvHeads(),
                headSize,
                padded(slice.heads().count() * headSize),
                padded(slice.kvHeads().count() * headSize),
                padded(slice.intermediate().count()),
                padded(slice.vocabulary().count()));
    }

    private static int padded(int rows) {
        return Math.ceilDiv(rows, PackedMatrix.PANEL_ROWS) * PackedMatrix.PANEL_ROWS;
    }
}
