package io.penstock.shard.backend.cpu;

/// The attention weights of one layer whose keys and values are compressed, as far as this rank holds them; the last
/// query projection and the output are where other models have theirs.
///
/// @param queryDown null, as is its norm, where queries are made of the hidden state
/// @param kvDown `[keyRank + rotarySize, hidden]`
/// @param keyUp of each head `[plainSize, keyRank]`
/// @param valueUp of each head `[valueSize, keyRank]`
record LatentWeights(
        PackedMatrix queryDown,
        float[] queryDownNorm,
        PackedMatrix kvDown,
        float[] kvDownNorm,
        float[] keyUp,
        float[] valueUp) {}
