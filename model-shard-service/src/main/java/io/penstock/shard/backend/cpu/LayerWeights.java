package io.penstock.shard.backend.cpu;

/// One layer's weights, as far as this rank holds them.
///
/// @param queryBias one a row of `query`; null, as are the other two, for a model without
record LayerWeights(
        float[] attentionNorm,
        PackedMatrix query,
        PackedMatrix key,
        PackedMatrix value,
        float[] queryBias,
        float[] keyBias,
        float[] valueBias,
        PackedMatrix attentionOutput,
        float[] mlpNorm,
        PackedMatrix gate,
        PackedMatrix up,
        PackedMatrix down) {}
