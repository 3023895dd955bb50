package io.penstock.model.answer;

/// A piece of an answer, as soon as it is known what it is part of.
///
/// Texts of one kind concatenate: neighbouring [Reasoning] to what the model thought, [Content] to what it said, the
/// [CallArguments] of one call to its arguments.
public sealed interface AnswerPart {
    /// @param text never empty
    record Reasoning(String text) implements AnswerPart {}

    /// @param text never empty
    record Content(String text) implements AnswerPart {}

    /// @param index of the call in the answer, from 0
    /// @param name of the function, never empty; that there is such a function is not checked
    record CallBegin(int index, String name) implements AnswerPart {}

    /// @param json a piece of the arguments, which are an object as the model wrote it; a model's mistake within it is
    ///     passed on
    record CallArguments(int index, String json) implements AnswerPart {}

    /// @param whole whether the arguments were written to their closing brace
    record CallEnd(int index, boolean whole) implements AnswerPart {}
}
