package io.penstock.shard.backend.cpu;

import io.penstock.model.config.Experts;
import io.penstock.model.config.ModelConfig;
import io.penstock.model.tensor.RankSlice;

/// Sizes of this rank's vectors. Strides are padded to whole panels, as the kernels write them.
///
/// @param hidden elements of a token between layers
/// @param group query heads of this rank that share a key/value head; ranks that have the same one part its query heads
/// @param rotarySize elements of a head that rotate
/// @param attentionStride of the heads' outputs
/// @param mlpStride that any MLP of a layer fits in
record Dimensions(
        int layers,
        int hidden,
        int hiddenStride,
        int heads,
        int kvHeads,
        int group,
        int headSize,
        int rotarySize,
        int queryStride,
        int attentionStride,
        int kvStride,
        int intermediateStride,
        int mlpStride,
        int vocabularyStride) {

    static Dimensions of(ModelConfig config, RankSlice slice) {
        int headSize = config.headSize();
        return new Dimensions(
                slice.layers().count(),
                config.hiddenSize(),
                padded(config.hiddenSize()),
                slice.heads().count(),
                slice.kvHeads().count(),
                slice.heads().count() / slice.kvHeads().count(),
                headSize,
                config.rotarySize(),
                padded(slice.heads().count() * headSize),
                padded(slice.heads().count() * config.valueSize()),
                padded(slice.kvHeads().count() * headSize),
                padded(slice.intermediate().count()),
                mlpStride(config, slice),
                padded(slice.vocabulary().count()));
    }

    private static int mlpStride(ModelConfig config, RankSlice slice) {
        int widest = Math.max(slice.intermediate().count(), slice.shared().count());
        return padded(
                Math.max(widest, config.experts().map(Experts::intermediateSize).orElse(0)));
    }

    private static int padded(int rows) {
        return Math.ceilDiv(rows, PackedMatrix.PANEL_ROWS) * PackedMatrix.PANEL_ROWS;
    }
}
