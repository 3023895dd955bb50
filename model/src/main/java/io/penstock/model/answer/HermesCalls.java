package io.penstock.model.answer;

import java.util.Set;

/// Calls as Hermes and Qwen write them: `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, anywhere in the answer.
/// A forgotten end tag is forgiven.
final class HermesCalls implements AnswerParser.Reader {
    static final String BEGIN = "<tool_call>";
    private static final String END = "</tool_call>";
    static final Set<String> MARKERS = Set.of(BEGIN, END);

    private enum Place {
        TEXT,
        CALL,
        BEHIND_CALL
    }

    private final PartWriter writer;
    private final MarkerScan begin = new MarkerScan(BEGIN);
    private final MarkerScan end = new MarkerScan(END);
    private Place place = Place.TEXT;
    private CallObject call;

    HermesCalls(PartWriter writer) {
        this.writer = writer;
    }

    @Override
    public void accept(char c) {
        switch (place) {
            case TEXT -> text(c);
            case CALL -> {
                switch (call.accept(c)) {
                    case MORE -> {}
                    case DONE -> place = Place.BEHIND_CALL;
                    case FAILED -> {
                        place = call.abandon() ? Place.BEHIND_CALL : Place.TEXT;
                        accept(c);
                    }
                }
            }
            case BEHIND_CALL -> behind(c);
        }
    }

    private void text(char c) {
        switch (begin.accept(c)) {
            case HELD -> {}
            case MARKER -> {
                call = new CallObject(writer, begin.takeHeld(), false);
                place = Place.CALL;
            }
            case TEXT -> {
                if (begin.holds()) {
                    writer.content(begin.takeHeld());
                    text(c);
                } else {
                    writer.content(c);
                }
            }
        }
    }

    private void behind(char c) {
        if (!end.holds() && PartWriter.isSpace(c)) {
            return;
        }
        switch (end.accept(c)) {
            case HELD -> {}
            case MARKER -> {
                end.takeHeld();
                place = Place.TEXT;
            }
            case TEXT -> {
                place = Place.TEXT;
                replayEnd();
                text(c);
            }
        }
    }

    // `<` begins both tags: a call may follow at once.
    private void replayEnd() {
        String held = end.takeHeld();
        for (int i = 0; i < held.length(); i++) {
            text(held.charAt(i));
        }
    }

    @Override
    public void finish() {
        if (place == Place.CALL) {
            call.abandon();
        }
        writer.content(begin.takeHeld());
        writer.content(end.takeHeld());
    }
}
