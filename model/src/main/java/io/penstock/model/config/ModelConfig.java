package io.penstock.model.config;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;

/// A decoder-only transformer's dimensions and constants: what a checkpoint's tensors must fit and a forward pass
/// needs.
///
/// Bounds are wide but finite, so that a product of two never overflows and memory is never asked for an absurd model.
///
/// @param architecture the model family, which says which layers there are
/// @param ropeLayout which pairs of a head's elements are rotated together
/// @param attentionBias whether the q, k and v projections add a bias
/// @param tiedEmbeddings whether the output matrix is the embedding matrix
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
        boolean tiedEmbeddings) {

    public enum Architecture {
        LLAMA,
        QWEN2
    }

    public enum RopeLayout {
        /// Elements `i` and `i + headSize / 2` (Hugging Face checkpoints; GGUF of Qwen2).
        HALVES,
        /// Elements `2i` and `2i + 1` (GGUF of Llama, whose q and k rows are permuted for it).
        INTERLEAVED
    }

    public ModelConfig {
        within("layers", layers, 1, 1_000);
        within("hidden size", hiddenSize, 1, 1 << 20);
        within("intermediate size", intermediateSize, 1, 1 << 22);
        within("attention heads", heads, 1, 1 << 12);
        within("key/value heads", kvHeads, 1, heads);
        within("head size", headSize, 2, 1 << 12);
        within("vocabulary size", vocabularySize, 1, 1 << 24);
        within("context length", contextLength, 1, 1 << 28);
        if (heads % kvHeads != 0) {
            throw new PenstockException(
                    ErrorCategory.CORRUPT, "%d attention heads do not divide over %d key/value heads", heads, kvHeads);
        }
        if (headSize % 2 != 0) {
            throw new PenstockException(ErrorCategory.CORRUPT, "head size %d is odd", headSize);
        }
        if (!(rmsNormEpsilon > 0 && rmsNormEpsilon < 1)) {
            throw new PenstockException(ErrorCategory.CORRUPT, "RMS norm epsilon %s", rmsNormEpsilon);
        }
        if (!(ropeTheta > 1 && ropeTheta < 1e12)) {
            throw new PenstockException(ErrorCategory.CORRUPT, "rotary base %s", ropeTheta);
        }
    }

    private static void within(String what, int value, int least, int most) {
        if (value < least || value > most) {
            throw new PenstockException(
                    ErrorCategory.CORRUPT, "%s is %d, must lie in [%d, %d]", what, value, least, most);
        }
    }

    /// Elements of keys (or of values) a token holds in one layer.
    public int kvSize() {
        return kvHeads * headSize;
    }
}
