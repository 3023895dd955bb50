package io.penstock.gateway.chat;

import java.util.List;

/// What a client of any protocol is told, in order: for each choice parts and one end, then the usage.
///
/// A choice is numbered: prompt number x choices a prompt + choice of the prompt.
public sealed interface CompletionEvent {
    /// A piece of a choice.
    sealed interface Part extends CompletionEvent {
        int choice();
    }

    /// @param text whole characters; with those before it, what the choice says so far
    /// @param tokens those whose text is complete with this; empty unless log-probabilities were asked for
    record Delta(int choice, String text, List<TokenText> tokens) implements Part {}

    /// @param text whole characters; with those before it, what the model thinks before it answers
    record Thought(int choice, String text) implements Part {}

    /// The model calls a function.
    ///
    /// @param call number of the call in the choice, from 0
    /// @param id unique
    record CallBegun(int choice, int call, String id, String function) implements Part {}

    /// @param json a piece of the call's arguments, an object as the model wrote it
    record CallArguments(int choice, int call, String json) implements Part {}

    record Ended(int choice, FinishReason reason) implements CompletionEvent {}

    /// The last event of a request that succeeded.
    record Done(Usage usage) implements CompletionEvent {}
}
