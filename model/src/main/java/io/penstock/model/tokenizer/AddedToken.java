package io.penstock.model.tokenizer;

/// A token that is found in the text as it is spelt, before any of it is cut into words.
///
/// @param special stands for no text; others are text too, as `</think>` is
/// @param singleWord only where no word character touches it
/// @param lstrip takes the white space before it
/// @param rstrip takes the white space after it
/// @param normalized is looked for in normalised text
record AddedToken(
        int id,
        String content,
        boolean special,
        boolean singleWord,
        boolean lstrip,
        boolean rstrip,
        boolean normalized) {

    /// A token that is found wherever it is spelt.
    static AddedToken plain(int id, String content, boolean special) {
        return new AddedToken(id, content, special, false, false, false, false);
    }
}
