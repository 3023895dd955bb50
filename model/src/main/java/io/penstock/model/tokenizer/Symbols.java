package io.penstock.model.tokenizer;

/// What merging starts from.
sealed interface Symbols permits ByteSymbols, PieceSymbols {
    /// Brings what lies between added tokens that are looked for in raw text to the form in which
    /// tokens spell it.
    MarkedText normalized(MarkedText text);

    /// Puts what the model was trained to see before a text, when all added tokens were taken out.
    ///
    /// @param text not empty, normalised
    /// @param first whether the whole text begins here
    MarkedText begun(MarkedText text, boolean first);

    /// @return ids of the characters or bytes of a word
    TokenIds of(char[] text, int start, int end);

    /// @return the bytes that a token of this spelling stands for
    byte[] bytes(String piece);
}
