package io.penstock.model.tokenizer;

/// Which neighbours merge, how early, and into what.
sealed interface Merges permits MergeTable, ScoredPieces {
    /// Of two that do not merge.
    int NONE = Integer.MAX_VALUE;

    /// @return lower is earlier, and of equal ranks the leftmost is first; [#NONE] if the two do not merge
    int rank(int left, int right);

    /// @return the token that the two make, which must merge
    int merged(int left, int right);
}
