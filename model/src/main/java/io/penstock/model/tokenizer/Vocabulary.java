package io.penstock.model.tokenizer;

import java.util.List;
import java.util.OptionalInt;
import java.util.Set;

/// A byte-level BPE tokenizer as its file describes it.
///
/// @param pieces spelling of each id in the byte alphabet, null where the id has none of its own
/// @param textless ids that stand for no text, besides special added tokens
/// @param merges by rank
/// @param wholeWords a word that is in the vocabulary is that token, whatever its merges (`ignore_merges`)
/// @param composed text is brought to normal form C first
/// @param beginOfSequence as [Tokenizer#beginOfSequence()]
record Vocabulary(
        List<String> pieces,
        Set<Integer> textless,
        List<AddedToken> added,
        List<Merge> merges,
        boolean wholeWords,
        boolean composed,
        PreTokenizer preTokenizer,
        OptionalInt beginOfSequence,
        Set<Integer> endOfSequence) {

    /// More ids than any vocabulary has; a bound on what a file can make us take.
    static final int LARGEST = 1 << 22;

    /// @param left spelling of the left token
    /// @param right spelling of the right one; together they spell the token they make
    record Merge(String left, String right) {}
}
