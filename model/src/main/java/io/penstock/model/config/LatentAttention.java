package io.penstock.model.config;

/// Attention over compressed keys and values (DeepSeek-V2, arXiv 2405.04434): a token leaves one vector of `keyRank`
/// elements, of which each head makes its keys and values, and one rotated key of `rotarySize` elements that all heads
/// share. A head's key is the `plainSize` elements it makes, then the shared ones.
///
/// @param queryRank elements that queries are made of; 0 where they are made of the hidden state itself
/// @param scale what scores are multiplied by beside `1 / sqrt(head size)`: the square of YaRN's temperature
/// @param apart whether the checkpoint has what makes keys and what makes values in two tensors, the
///     keys' transposed
public record LatentAttention(
        int queryRank, int keyRank, int plainSize, int rotarySize, int valueSize, double scale, boolean apart) {
    /// Of the norms of the compressed vectors, whatever the model's other norms have.
    public static final double NORM_EPSILON = 1e-6;

    /// Of a checkpoint that has both in one tensor.
    public LatentAttention(int queryRank, int keyRank, int plainSize, int rotarySize, int valueSize, double scale) {
        this(queryRank, keyRank, plainSize, rotarySize, valueSize, scale, false);
    }

    public LatentAttention {
        Bounds.within("query rank", queryRank, 0, 1 << 16);
        Bounds.within("key rank", keyRank, 1, 1 << 16);
        Bounds.within("plain part of a head", plainSize, 1, 1 << 12);
        Bounds.within("rotary part of a head", rotarySize, 2, 1 << 12);
        Bounds.within("size of a value", valueSize, 1, 1 << 12);
        Bounds.within("attention scale", scale, 1e-3, 1e3);
        Bounds.even("rotary part of a head", rotarySize);
    }

    /// Elements of a head's query and key.
    public int headSize() {
        return plainSize + rotarySize;
    }

    /// Elements that a token leaves in a layer's cache.
    public int cachedSize() {
        return keyRank + rotarySize;
    }
}
