package io.penstock.gateway.openai;

import io.penstock.gateway.chat.CompletionEvent;
import io.penstock.gateway.chat.FinishReason;
import io.penstock.gateway.chat.TokenText;
import java.util.ArrayList;
import java.util.List;

/// A choice as it comes together, part by part.
final class WholeChoice {
    /// A function that the model calls, and with which arguments.
    record Call(String id, String function, StringBuilder arguments) {}

    private final StringBuilder text = new StringBuilder();
    private final StringBuilder thoughts = new StringBuilder();
    private final List<Call> calls = new ArrayList<>();
    private final List<TokenText> tokens = new ArrayList<>();
    private FinishReason reason;

    void add(CompletionEvent.Part part) {
        switch (part) {
            case CompletionEvent.Delta delta -> {
                text.append(delta.text());
                tokens.addAll(delta.tokens());
            }
            case CompletionEvent.Thought thought -> thoughts.append(thought.text());
            case CompletionEvent.CallBegun begun ->
                calls.add(new Call(begun.id(), begun.function(), new StringBuilder()));
            case CompletionEvent.CallArguments more ->
                calls.get(more.call()).arguments().append(more.json());
        }
    }

    void end(FinishReason why) {
        reason = why;
    }

    String text() {
        return text.toString();
    }

    String thoughts() {
        return thoughts.toString();
    }

    List<Call> calls() {
        return calls;
    }

    List<TokenText> tokens() {
        return tokens;
    }

    FinishReason reason() {
        return reason;
    }
}
