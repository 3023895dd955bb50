package io.penstock.shard.backend.cpu;

/// One layer's weights, as far as this rank holds them.
///
/// @param key null, as is `value`, where keys and values are compressed
/// @param queryBias one a row of `query`; null, as are the other two, for a model without
/// @param queryNorm of each head; null, as is `keyNorm`, for a model without
/// @param latent null unless keys and values are compressed
/// @param gate null, as are `up` and `down`, for a layer of experts
/// @param experts null for a layer without
record LayerWeights(
        float[] attentionNorm,
        PackedMatrix query,
        PackedMatrix key,
        PackedMatrix value,
        float[] queryBias,
        float[] keyBias,
        float[] valueBias,
        float[] queryNorm,
        float[] keyNorm,
        LatentWeights latent,
        PackedMatrix attentionOutput,
        float[] mlpNorm,
        PackedMatrix gate,
        PackedMatrix up,
        PackedMatrix down,
        ExpertWeights experts) {}
