package io.penstock.shard.backend.cuda;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.config.ModelConfig;
import io.penstock.model.tensor.RankSlice;

/// Extents of one rank's part of a model, as kernels take them.
///
/// @param heads query heads of this rank
/// @param intermediate MLP columns of this rank
/// @param vocabulary rows of the output matrix on this rank; 0 where it does not sample
record ShardShape(
        ModelConfig config, RankSlice slice, int layers, int heads, int kvHeads, int intermediate, int vocabulary) {
    /// Queries that a warp's tile holds; kernels part rows by it.
    static final int QUERY_TILE = 16;

    /// Queries that a block of the prefill kernel holds, where [WidePrompts] does not serve.
    static final int PREFILL_TILE = 64;

    // Vectors that a block keeps in its registers.
    private static final int MAX_HIDDEN = 16_384;
    private static final int MAX_INTERMEDIATE = 65_536;

    /// @throws PenstockException (bad input) naming what these kernels cannot serve
    static ShardShape of(ModelConfig config, RankSlice slice) {
        int head = config.headSize();
        if (head != 64 && head != 128) {
            throw unsupported("head size", head, "64 or 128");
        }
        if (config.hiddenSize() % 32 != 0 || config.hiddenSize() > MAX_HIDDEN) {
            throw unsupported("hidden size", config.hiddenSize(), "multiples of 32 up to " + MAX_HIDDEN);
        }
        int intermediate = slice.intermediate().count();
        if (intermediate % 32 != 0 || intermediate > MAX_INTERMEDIATE) {
            throw unsupported("a rank's intermediate size", intermediate, "multiples of 32 up to " + MAX_INTERMEDIATE);
        }
        if (slice.heads().count() == 0 || intermediate == 0) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT, "%s leaves this rank without attention heads or MLP columns", slice);
        }
        if (config.heads() / config.kvHeads() > PREFILL_TILE) {
            throw unsupported("heads a key/value head", config.heads() / config.kvHeads(), "at most " + PREFILL_TILE);
        }
        return new ShardShape(
                config,
                slice,
                slice.layers().count(),
                slice.heads().count(),
                slice.kvHeads().count(),
                intermediate,
                slice.samples() ? slice.vocabulary().count() : 0);
    }

    private static PenstockException unsupported(String what, int value, String served) {
        return new PenstockException(
                ErrorCategory.BAD_INPUT, "%s is %d; the CUDA backend serves %s", what, value, served);
    }

    /// Columns of the attention's output matrix, counted in the whole model's: this rank's queries.
    RankSlice.Range queries() {
        return new RankSlice.Range(
                slice.heads().from() * headSize(), slice.heads().to() * headSize());
    }

    int hidden() {
        return config.hiddenSize();
    }

    int headSize() {
        return config.headSize();
    }

    /// Query heads that share a key/value head.
    int group() {
        return heads / kvHeads;
    }

    int attentionSize() {
        return heads * headSize();
    }

    int qkvSize() {
        return (heads + 2 * kvHeads) * headSize();
    }

    /// Bytes that a step of few rows reads of this rank's weights where they are bf16; biases and
    /// norms are left out.
    long weightBytes() {
        return 2 * (layerWeights() + (long) hidden() * vocabulary);
    }

    /// Weights of all layers' matrices.
    long layerWeights() {
        long perLayer = (long) hidden() * qkvSize() + (long) hidden() * attentionSize() + 3L * hidden() * intermediate;
        return perLayer * layers;
    }

    /// Bytes of keys and values that one KV block holds over all layers.
    long kvBlockBytes(int blockSize, CudaOptions.Kv kv) {
        return 2L * kv.bytes() * layers * kvHeads * headSize() * blockSize;
    }
}
