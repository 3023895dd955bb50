package io.penstock.model.tokenizer;

/// How text is written for merging: in which characters, and what of it is changed before.
sealed interface TextForm {
    /// Bytes, each spelt as a character ([ByteAlphabet]).
    ///
    /// @param composed text is brought to normal form C first
    record Bytes(boolean composed) implements TextForm {}

    /// Characters, spaces spelt [PieceSymbols#SPACE]; those that no token spells as their UTF-8 bytes,
    /// `<0x00>` to `<0xFF>` (SentencePiece).
    record Pieces(Prefix prefix) implements TextForm {}

    /// Where text gets a space before it that it did not have.
    enum Prefix {
        NONE,
        /// What lies between added tokens, each.
        EVERY,
        /// The same, unless it begins with a space.
        EVERY_MISSING,
        /// The beginning of the text, unless it begins with a space.
        FIRST_MISSING
    }
}
