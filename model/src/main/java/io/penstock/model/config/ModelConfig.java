package io.penstock.model.config;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.util.Optional;

/// A decoder-only transformer's dimensions and constants: what a checkpoint's tensors must fit and a forward pass
/// needs.
///
/// Bounds are wide but finite, so that a product of two never overflows and memory is never asked for an absurd model.
///
/// @param architecture the model family, which says which layers there are
/// @param ropeLayout which pairs of a head's elements are rotated together
/// @param attentionBias whether the q, k and v projections add a bias
/// @param tiedEmbeddings whether the output matrix is the embedding matrix
/// @param headNorms whether each head's query and key are normalised before they are rotated
/// @param latent how keys and values are compressed, where they are; then `kvHeads` equals `heads`
/// @param experts what stands in the MLP's place, where something does
public record ModelConfig(
        Architecture architecture,
        int layers,
        int hiddenSize,
        int intermediateSize,
        int heads,
        int kvHeads,
        int headSize,
        int vocabularySize,
        int contextLength,
        double rmsNormEpsilon,
        double ropeTheta,
        RopeLayout ropeLayout,
        RopeScaling ropeScaling,
        boolean attentionBias,
        boolean tiedEmbeddings,
        boolean headNorms,
        Optional<LatentAttention> latent,
        Optional<Experts> experts) {

    public enum Architecture {
        /// Llama, Mistral and whatever else is built like them.
        LLAMA,
        QWEN2,
        QWEN3,
        QWEN3_MOE,
        DEEPSEEK_V2,
        DEEPSEEK_V3
    }

    /// Of a model with plain attention and one MLP a layer.
    public ModelConfig(
            Architecture architecture,
            int layers,
            int hiddenSize,
            int intermediateSize,
            int heads,
            int kvHeads,
            int headSize,
            int vocabularySize,
            int contextLength,
            double rmsNormEpsilon,
            double ropeTheta,
            RopeLayout ropeLayout,
            RopeScaling ropeScaling,
            boolean attentionBias,
            boolean tiedEmbeddings) {
        this(
                architecture,
                layers,
                hiddenSize,
                intermediateSize,
                heads,
                kvHeads,
                headSize,
                vocabularySize,
                contextLength,
                rmsNormEpsilon,
                ropeTheta,
                ropeLayout,
                ropeScaling,
                attentionBias,
                tiedEmbeddings,
                architecture == Architecture.QWEN3,
                Optional.empty(),
                Optional.empty());
    }

    public enum RopeLayout {
        /// Elements `i` and `i + headSize / 2` (Hugging Face checkpoints; GGUF of Qwen2).
        HALVES,
        /// Elements `2i` and `2i + 1` (GGUF of Llama, whose q and k rows are permuted for it).
        INTERLEAVED
    }

    public ModelConfig {
        Bounds.within("layers", layers, 1, 1_000);
        Bounds.within("hidden size", hiddenSize, 1, 1 << 20);
        Bounds.within("intermediate size", intermediateSize, 1, 1 << 22);
        Bounds.within("attention heads", heads, 1, 1 << 12);
        Bounds.within("key/value heads", kvHeads, 1, heads);
        Bounds.within("head size", headSize, 2, 1 << 12);
        Bounds.within("vocabulary size", vocabularySize, 1, 1 << 24);
        Bounds.within("context length", contextLength, 1, 1 << 28);
        if (heads % kvHeads != 0) {
            throw new PenstockException(
                    ErrorCategory.CORRUPT, "%d attention heads do not divide over %d key/value heads", heads, kvHeads);
        }
        if (headSize % 2 != 0) {
            throw new PenstockException(ErrorCategory.CORRUPT, "head size %d is odd", headSize);
        }
        if (latent.isPresent() && (latent.get().headSize() != headSize || kvHeads != heads)) {
            throw new PenstockException(
                    ErrorCategory.CORRUPT,
                    "heads of size %d, %d for keys, contradict %s",
                    headSize,
                    kvHeads,
                    latent.get());
        }
        int pairs = latent.map(LatentAttention::rotarySize).orElse(headSize) / 2;
        if (ropeScaling instanceof RopeScaling.LongRope longRope
                && longRope.shortDivisors().size() != pairs) {
            throw new PenstockException(
                    ErrorCategory.CORRUPT,
                    "%d longrope divisors for heads of %d pairs",
                    longRope.shortDivisors().size(),
                    pairs);
        }
        if (!(rmsNormEpsilon > 0 && rmsNormEpsilon < 1)) {
            throw new PenstockException(ErrorCategory.CORRUPT, "RMS norm epsilon %s", rmsNormEpsilon);
        }
        if (!(ropeTheta > 1 && ropeTheta < 1e12)) {
            throw new PenstockException(ErrorCategory.CORRUPT, "rotary base %s", ropeTheta);
        }
    }

    /// Elements of a head that rotate.
    public int rotarySize() {
        return latent.map(LatentAttention::rotarySize).orElse(headSize);
    }

    /// Elements of a head's value.
    public int valueSize() {
        return latent.map(LatentAttention::valueSize).orElse(headSize);
    }

    /// Elements that a token leaves in one layer's cache.
    public int cachedSize() {
        return latent.map(LatentAttention::cachedSize).orElse(2 * kvSize());
    }

    /// Whether a layer has experts in its MLP's place.
    public boolean hasExperts(int layer) {
        return experts.isPresent() && layer >= experts.get().firstDense();
    }

    /// Elements of keys (or of values) a token holds in one layer, where they are not compressed.
    public int kvSize() {
        return kvHeads * headSize;
    }
}
