package io.penstock.gateway.chat;

import io.penstock.model.answer.AnswerParser;
import io.penstock.model.answer.AnswerPart;
import java.util.List;
import java.util.Optional;
import java.util.Queue;
import java.util.UUID;

/// Makes events of one choice's text.
final class ChoiceParts {
    private static final int ID_LENGTH = 24;

    private final int choice;
    private final Optional<AnswerParser> parser;
    private final Queue<CompletionEvent> events;
    private boolean called;

    /// @param parser empty: all is text
    ChoiceParts(int choice, Optional<AnswerParser> parser, Queue<CompletionEvent> events) {
        this.choice = choice;
        this.parser = parser;
        this.events = events;
    }

    /// Whether the choice has called a function.
    boolean called() {
        return called;
    }

    /// @param tokens that go with the text
    /// @param last whether no text follows
    void add(String text, List<TokenText> tokens, boolean last) {
        if (parser.isEmpty()) {
            if (!text.isEmpty() || !tokens.isEmpty()) {
                events.add(new CompletionEvent.Delta(choice, text, tokens));
            }
            return;
        }
        // They are of no part in particular: a token may end one and begin the next.
        if (!tokens.isEmpty()) {
            events.add(new CompletionEvent.Delta(choice, "", tokens));
        }
        parser.get().accept(text, this::add);
        if (last) {
            parser.get().finish(this::add);
        }
    }

    private void add(AnswerPart part) {
        switch (part) {
            case AnswerPart.Content content -> events.add(new CompletionEvent.Delta(choice, content.text(), List.of()));
            case AnswerPart.Reasoning thought -> events.add(new CompletionEvent.Thought(choice, thought.text()));
            case AnswerPart.CallBegin begin -> {
                called = true;
                String id =
                        "call_" + UUID.randomUUID().toString().replace("-", "").substring(0, ID_LENGTH);
                events.add(new CompletionEvent.CallBegun(choice, begin.index(), id, begin.name()));
            }
            case AnswerPart.CallArguments arguments ->
                events.add(new CompletionEvent.CallArguments(choice, arguments.index(), arguments.json()));
            case AnswerPart.CallEnd end -> {
                // What follows shows that it has ended.
            }
        }
    }
}
