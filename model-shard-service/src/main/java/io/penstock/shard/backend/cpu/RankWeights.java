package io.penstock.shard.backend.cpu;

/// A rank's weights.
///
/// @param layers of this stage, in order
/// @param embedding whole; null beyond the first stage. The same object as `output` where embeddings
///     are tied and the rank holds the whole vocabulary
/// @param outputNorm null before the last stage
/// @param output this rank's rows; null before the last stage
/// @param ropeDivisors null for a model without
record RankWeights(
        LayerWeights[] layers, PackedMatrix embedding, float[] outputNorm, PackedMatrix output, float[] ropeDivisors) {}
