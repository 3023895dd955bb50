package io.penstock.model.tensor;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.config.ModelConfig;

/// What one rank of a tensor-parallel x pipeline-parallel group holds of a model. Half-open ranges; every layer's
/// attention heads, MLP columns and the vocabulary are parted among the tensor-parallel ranks, layers among the stages.
/// Whole key/value groups move together, so a split need not be even. Where there are more ranks than
/// such groups, several ranks have the same key/value head and part its query heads. No range is empty,
/// for [#of] refuses more ranks than there are things to share.
///
/// @param layers of this stage
/// @param heads query heads, those of `kvHeads`
/// @param intermediate columns of the MLP; bounds are multiples of a quantisation block
/// @param vocabulary rows of the output matrix
/// @param experts whole ones, of every layer that has some; empty where none has
/// @param shared columns of the MLP beside them, as `intermediate`
/// @param embeds whether this is the first stage, which holds the whole embedding matrix
/// @param samples whether this is the last stage, which holds the final norm and its part of the output matrix
public record RankSlice(
        Range layers,
        Range heads,
        Range kvHeads,
        Range intermediate,
        Range vocabulary,
        Range experts,
        Range shared,
        boolean embeds,
        boolean samples) {

    private static final Range NOTHING = new Range(0, 0);

    /// Columns of the MLP are parted in multiples of this, which every block of a format of our own divides,
    public static final int MLP_BLOCK = 32;
    /// or, where every rank has at least [#MANY] of them, of this: groups of int4 and blocks of FP8 stay whole, without
    /// which a GPU could not keep the format.
    public static final int MLP_GROUP = 128;

    private static final int MANY = 16;

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

        boolean contains(int number) {
            return number >= from && number < to;
        }

        /// @return the same range in units a `size`th as large
        Range times(int size) {
            return new Range(Math.multiplyExact(from, size), Math.multiplyExact(to, size));
        }
    }

    /// Shares are as even as whole units allow; the first ranks and stages have one more where they are not.
    ///
    /// @param tpRank in [0, tpSize)
    /// @param ppStage in [0, ppSize)
    /// @throws PenstockException (bad input) if a rank would hold nothing of something
    public static RankSlice of(ModelConfig config, int tpRank, int tpSize, int ppStage, int ppSize) {
        if (tpSize < 1 || tpRank < 0 || tpRank >= tpSize || ppSize < 1 || ppStage < 0 || ppStage >= ppSize) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT,
                    "no tensor-parallel rank %d of %d, pipeline stage %d of %d",
                    tpRank,
                    tpSize,
                    ppStage,
                    ppSize);
        }
        Range layers = share("layers", config.layers(), ppStage, ppSize, "pipeline stages");
        Range kvHeads = kvHeads(config, tpRank, tpSize);
        return new RankSlice(
                layers,
                heads(config, kvHeads, tpRank, tpSize),
                kvHeads,
                columns(config.intermediateSize(), tpRank, tpSize),
                share("vocabulary rows", config.vocabularySize(), tpRank, tpSize, "tensor-parallel ranks"),
                config.experts()
                        .map(experts -> share("experts", experts.count(), tpRank, tpSize, "tensor-parallel ranks"))
                        .orElse(NOTHING),
                config.experts()
                        .filter(experts -> experts.sharedSize() > 0)
                        .map(experts -> columns(experts.sharedSize(), tpRank, tpSize))
                        .orElse(NOTHING),
                ppStage == 0,
                ppStage == ppSize - 1);
    }

    /// The same parts of other layers: those that a scheduler gives to the stage.
    public RankSlice withLayers(Range others) {
        return new RankSlice(others, heads, kvHeads, intermediate, vocabulary, experts, shared, embeds, samples);
    }

    private static Range kvHeads(ModelConfig config, int tpRank, int tpSize) {
        if (tpSize <= config.kvHeads()) {
            return share("key/value heads", config.kvHeads(), tpRank, tpSize, "tensor-parallel ranks");
        }
        int head = 0;
        while (ranksOf(head, config, tpSize).to() <= tpRank) {
            head++;
        }
        return new Range(head, head + 1);
    }

    private static Range heads(ModelConfig config, Range kvHeads, int tpRank, int tpSize) {
        int group = config.heads() / config.kvHeads();
        Range all = kvHeads.times(group);
        if (tpSize <= config.kvHeads()) {
            return all;
        }
        Range ranks = ranksOf(kvHeads.from(), config, tpSize);
        String what = "query heads for each key/value head";
        Range own = share(what, group, tpRank - ranks.from(), ranks.count(), "ranks that have it");
        return new Range(all.from() + own.from(), all.from() + own.to());
    }

    /// Which ranks have the same key/value head, where there are more ranks than such heads.
    private static Range ranksOf(int kvHead, ModelConfig config, int tpSize) {
        return share("ranks", tpSize, kvHead, config.kvHeads(), "key/value heads");
    }

    private static Range columns(int size, int tpRank, int tpSize) {
        int block = size / tpSize >= MANY * MLP_GROUP ? MLP_GROUP : MLP_BLOCK;
        int blocks = Math.ceilDiv(size, block);
        Range mlp = share("MLP blocks of %d columns".formatted(block), blocks, tpRank, tpSize, "tensor-parallel ranks");
        return new Range(mlp.from() * block, Math.min(mlp.to() * block, size));
    }

    private static Range share(String what, int total, int rank, int size, String ranks) {
        if (size > total) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT, "the model has %d %s, too few for %d %s", total, what, size, ranks);
        }
        int each = total / size;
        int extra = total % size;
        int from = rank * each + Math.min(rank, extra);
        return new Range(from, from + each + (rank < extra ? 1 : 0));
    }
}
