package io.penstock.model.tokenizer;

import java.util.List;
import java.util.OptionalInt;
import java.util.Set;

/// A BPE tokenizer as its file describes it.
///
/// @param pieces spelling of each id in the alphabet of its form, null where the id has none of its own
/// @param textless ids that stand for no text, besides special added tokens
/// @param wholeWords a word that is in the vocabulary is that token, whatever its merges (`ignore_merges`)
/// @param beginOfSequence as [Tokenizer#beginOfSequence()]
record Vocabulary(
        List<String> pieces,
        Set<Integer> textless,
        List<AddedToken> added,
        Merging merging,
        boolean wholeWords,
        TextForm form,
        PreTokenizer preTokenizer,
        OptionalInt beginOfSequence,
        Set<Integer> endOfSequence) {

    /// More ids than any vocabulary has; a bound on what a file can make us take.
    static final int LARGEST = 1 << 22;

    /// What merges, and in which order.
    sealed interface Merging {
        /// @param merges by rank
        record Ranked(List<Merge> merges) implements Merging {}

        /// All neighbours that together spell a token, the highest score first.
        ///
        /// @param scores by id
        /// @param unmade ids that no merge makes
        record Scored(float[] scores, Set<Integer> unmade) implements Merging {}
    }

    /// @param left spelling of the left token
    /// @param right spelling of the right one; together they spell the token they make
    record Merge(String left, String right) {}
}
