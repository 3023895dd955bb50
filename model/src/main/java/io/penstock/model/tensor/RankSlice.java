package io.penstock.model.tensor;

/// What one rank of a tensor-parallel x pipeline-parallel group holds of a model. Half-open ranges; every layer's
/// attention heads, MLP columns and the vocabulary are parted among the tensor-parallel ranks, layers among the stages.
/// Whole key/value groups move together, so a split need not be even; a range may be empty where there are more ranks
/// than things to share.
///
/// @param layers of this stage
/// @param heads query heads, those of `kvHeads`
/// @param intermediate columns of the MLP; bounds are multiples of a quantisation block
/// @param vocabulary rows of the output matrix
/// @param embeds whether this is the first stage, which holds the whole embedding matrix
/// @param samples whether this is the last stage, which holds the final norm and its part of the output matrix
public record RankSlice(
        Range layers,
        Range heads,
        Range kvHeads,
        Range intermediate,
        Range vocabulary,
        boolean embeds,
        boolean samples) {

    /// @param from first, inclusive
    /// @param to last, exclusive
    public record Range(int from, int to) {
        public Range {
            if (from < 0 || to < from) {
                throw new IllegalArgumentException("range [%d, %d)".formatted(from, to));
            }
        }

        public int count() {
            return to - from;
        }
    }
}
