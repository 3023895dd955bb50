package io.penstock.gateway.chat;

import java.util.List;

/// What a client of any protocol is told, in order: for each choice deltas and one end, then the usage.
public sealed interface CompletionEvent {
    /// @param choice prompt number x choices a prompt + choice of the prompt
    /// @param text whole characters; with those before it, the choice's text so far
    /// @param tokens those whose text this completes; empty unless log-probabilities were asked for
    record Delta(int choice, String text, List<TokenText> tokens) implements CompletionEvent {}

    record Ended(int choice, FinishReason reason) implements CompletionEvent {}

    /// The last event of a request that succeeded.
    record Done(Usage usage) implements CompletionEvent {}
}
