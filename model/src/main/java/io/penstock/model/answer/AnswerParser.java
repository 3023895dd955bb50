package io.penstock.model.answer;

import java.util.function.Consumer;

/// Parts one answer, while it comes in, into what the model thinks, what it says and which functions it calls. Made by
/// [AnswerFormat#parser]; used by one thread at a time.
///
/// The parts do not depend on how the text was cut into pieces, save for where texts of one kind are cut. A character
/// is looked at twice at most, so that hostile output costs no more than other. Text that only looked like a call is
/// content, as it was written.
public final class AnswerParser {
    private final PartWriter writer = new PartWriter();
    private final Reader reader;

    AnswerParser(ReaderChoice first) {
        reader = first.begin(writer);
    }

    /// @param piece whole characters; may be empty
    /// @param parts is given those that are now known, in order
    public void accept(String piece, Consumer<AnswerPart> parts) {
        writer.to(parts);
        for (int i = 0; i < piece.length(); i++) {
            reader.accept(piece.charAt(i));
        }
        writer.flush();
    }

    /// Gives out what was held back, once nothing follows.
    public void finish(Consumer<AnswerPart> parts) {
        writer.to(parts);
        reader.finish();
        writer.finish();
    }

    /// How an answer is read, given where its parts go.
    @FunctionalInterface
    interface ReaderChoice {
        Reader begin(PartWriter writer);
    }

    /// Reads text, character by character.
    interface Reader {
        void accept(char c);

        /// Nothing follows.
        void finish();
    }
}
