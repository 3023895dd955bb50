package io.penstock.model.answer;

import io.penstock.model.answer.AnswerPart.CallArguments;
import io.penstock.model.answer.AnswerPart.CallBegin;
import io.penstock.model.answer.AnswerPart.CallEnd;
import io.penstock.model.answer.AnswerPart.Content;
import io.penstock.model.answer.AnswerPart.Reasoning;
import java.util.function.Consumer;

/// Gathers characters into parts. White space between a text and a marker (`</think>`, the begin of a call) belongs to
/// neither, so it is held back until it is known what follows.
final class PartWriter {
    private enum Kind {
        NONE,
        REASONING,
        CONTENT,
        ARGUMENTS
    }

    private final StringBuilder pending = new StringBuilder();
    private final StringBuilder space = new StringBuilder();
    private Kind kind = Kind.NONE;
    private boolean behindMarker;
    private int calls;
    private Consumer<AnswerPart> parts;

    void to(Consumer<AnswerPart> receiver) {
        parts = receiver;
    }

    void reasoning(char c) {
        text(Kind.REASONING, c);
    }

    void content(char c) {
        text(Kind.CONTENT, c);
    }

    void content(CharSequence text) {
        for (int i = 0; i < text.length(); i++) {
            content(text.charAt(i));
        }
    }

    private void text(Kind of, char c) {
        if (isSpace(c)) {
            if (!behindMarker) {
                space.append(c);
            }
            return;
        }
        become(of);
        pending.append(space).append(c);
        space.setLength(0);
        behindMarker = false;
    }

    /// What is written next stands behind a marker.
    void marker() {
        space.setLength(0);
        behindMarker = true;
    }

    void beginCall(String name) {
        become(Kind.ARGUMENTS);
        flush();
        marker();
        parts.accept(new CallBegin(calls, name));
    }

    void arguments(char c) {
        pending.append(c);
    }

    void arguments(CharSequence text) {
        pending.append(text);
    }

    void endCall(boolean whole) {
        flush();
        parts.accept(new CallEnd(calls, whole));
        calls++;
        kind = Kind.NONE;
    }

    private void become(Kind next) {
        if (kind != next) {
            flush();
            kind = next;
        }
    }

    /// Gives out what is known.
    void flush() {
        if (pending.isEmpty()) {
            return;
        }
        String text = pending.toString();
        pending.setLength(0);
        AnswerPart part = switch (kind) {
            case REASONING -> new Reasoning(text);
            case CONTENT -> new Content(text);
            case ARGUMENTS -> new CallArguments(calls, text);
            case NONE -> throw new IllegalStateException("text of no kind");
        };
        parts.accept(part);
    }

    /// Gives out the white space at the end too: no marker follows.
    void finish() {
        if (!space.isEmpty()) {
            if (kind == Kind.NONE) {
                kind = Kind.CONTENT;
            }
            pending.append(space);
            space.setLength(0);
        }
        flush();
    }

    static boolean isSpace(char c) {
        return c == ' ' || c == '\n' || c == '\t' || c == '\r';
    }
}
