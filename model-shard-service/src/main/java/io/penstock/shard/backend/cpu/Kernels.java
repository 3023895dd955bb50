package io.penstock.shard.backend.cpu;

/// The arithmetic of a forward pass. Everything is f32 on the weights' exact values.
///
/// Implementations give the same bits, at any vector width: the order of each sum is part of the
/// contract, and [ScalarKernels] is its definition. They hold no state, so one serves all threads. None
/// allocates.
public interface Kernels {
    /// Partial sums of [#rmsNorm] and [#blockSums], by element, and of the weights of a segment in [#attend], by
    /// position within a block: term i goes to sum i mod 16, in order. The sums then meet pairwise, sum
    /// i and sum i + half.
    int SUM_LANES = 16;

    /// Positions that attention treats as one, about; exactly, the whole blocks that fit into it, or
    /// one block.
    int SEGMENT_POSITIONS = 256;

    /// Query heads of tokens that attention does at a time, at most.
    int ATTENTION_ROWS = 6;

    /// For people: "vector: 512 bit, C2".
    String description();

    /// Blocks of a panel that are unpacked at a time, at most: what a second-level cache holds.
    int MOST_UNPACKED_BLOCKS = 24;

    /// Multiplies the 64 rows of one panel with each token's vector.
    ///
    /// Block by block of 32 columns, in order: the products of the block's levels are summed from the
    /// first column to the last, one fused multiply-add each; then the block's minimum times its
    /// [#blockSums] and the scale times that sum are added to the output, in this order, by one fused
    /// multiply-add each. Weights that are no levels have a scale of 1 and no minimum.
    ///
    /// @param x `[tokens, matrix.columns]`, token t from `xOffset + t * xStride`; zero from there to a
    ///     multiple of 32
    /// @param sums of the vectors' blocks, block b of token t at `sumsOffset + t * matrix.blocks() + b`; read
    ///     only if the elements have a minimum
    /// @param y receives `[tokens, 64]`, token t from `yOffset + t * yStride`
    /// @param scratch of [#PANEL_SCRATCH] floats, this thread's own
    void multiply(
            PackedMatrix matrix,
            int panel,
            float[] x,
            int xOffset,
            int xStride,
            int tokens,
            float[] sums,
            int sumsOffset,
            float[] y,
            int yOffset,
            int yStride,
            float[] scratch);

    /// Floats of scratch that [#multiply] needs.
    int PANEL_SCRATCH = MOST_UNPACKED_BLOCKS * (PackedMatrix.BLOCK_COLUMNS + 2) * PackedMatrix.PANEL_ROWS;

    /// Sums of the blocks of a vector, each in the order that [#SUM_LANES] says.
    ///
    /// @param lanes scratch of [#SUM_LANES] floats
    void blockSums(float[] x, int xOffset, int blocks, float[] sums, int sumsOffset, float[] lanes);

    /// Root-mean-square norm (arXiv 1910.07467): `y = x / sqrt(mean(x^2) + epsilon) * weight`.
    ///
    /// @param lanes scratch of [#SUM_LANES] floats
    void rmsNorm(
            float[] x, int xOffset, float[] weight, int count, double epsilon, float[] y, int yOffset, float[] lanes);

    static float normScale(float[] lanes, int count, double epsilon) {
        return (float) (1 / Math.sqrt(sumOfLanes(lanes, 0) / count + epsilon));
    }

    /// Adds [#SUM_LANES] partial sums up, destroying them.
    static float sumOfLanes(float[] lanes, int at) {
        for (int half = SUM_LANES / 2; half > 0; half /= 2) {
            for (int i = 0; i < half; i++) {
                lanes[at + i] += lanes[at + i + half];
            }
        }
        return lanes[at];
    }

    /// Adds `x` to `y`.
    void add(float[] x, int xOffset, float[] y, int yOffset, int count);

    /// `gate = gate / (1 + exp(-gate)) * up` (arXiv 2002.05202).
    void swiglu(float[] gate, int gateOffset, float[] up, int upOffset, int count);

    /// Attention of consecutive tokens of a sequence, of their query heads that share one key/value
    /// head. The token at position p sees positions `[0, p]`.
    ///
    /// @param blockTable the sequence's
    /// @param position of the first token
    /// @param query head g of token t from `offset + t * stride + g * headSize`; already scaled
    /// @param out as `query`
    /// @param scratch of [#attentionScratchFloats] floats, this thread's own
    void attend(
            KvCache cache,
            int layer,
            int kvHead,
            int[] blockTable,
            int position,
            int tokens,
            float[] query,
            int offset,
            int stride,
            int group,
            float[] out,
            float[] scratch);

    /// Blocks of a segment.
    static int segmentBlocks(int blockSize) {
        return Math.max(1, SEGMENT_POSITIONS / blockSize);
    }

    /// Floats of scratch that [#attend] needs.
    static int attentionScratchFloats(int blockSize, int headSize) {
        int padded = Math.ceilDiv(blockSize, 16) * 16;
        return ATTENTION_ROWS * (segmentBlocks(blockSize) * padded + Math.ceilDiv(headSize, 16) * 16 + 4) + SUM_LANES;
    }
}
