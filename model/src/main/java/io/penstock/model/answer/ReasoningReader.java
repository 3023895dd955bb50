package io.penstock.model.answer;

/// An answer that may begin with `<think>…</think>`; what follows is left to another reader. Only the beginning counts:
/// a `<think>` further on is text, and while the model thinks so is everything but `</think>`.
final class ReasoningReader implements AnswerParser.Reader {
    static final String BEGIN = "<think>";
    static final String END = "</think>";

    private enum Place {
        START,
        REASONING,
        ANSWER
    }

    private final PartWriter writer;
    private final AnswerParser.Reader answer;
    private final MarkerScan begin = new MarkerScan(BEGIN);
    private final MarkerScan end = new MarkerScan(END);
    private Place place;

    /// @param inside whether the prompt ended with `<think>`
    ReasoningReader(PartWriter writer, boolean inside, AnswerParser.Reader answer) {
        this.writer = writer;
        this.answer = answer;
        place = inside ? Place.REASONING : Place.START;
        if (inside) {
            writer.marker();
        }
    }

    @Override
    public void accept(char c) {
        switch (place) {
            case START -> start(c);
            case REASONING -> reason(c);
            case ANSWER -> answer.accept(c);
        }
    }

    private void start(char c) {
        if (!begin.holds() && PartWriter.isSpace(c)) {
            writer.content(c);
            return;
        }
        switch (begin.accept(c)) {
            case HELD -> {}
            case MARKER -> {
                begin.takeHeld();
                writer.marker();
                place = Place.REASONING;
            }
            case TEXT -> {
                place = Place.ANSWER;
                replay(begin);
                answer.accept(c);
            }
        }
    }

    private void replay(MarkerScan scan) {
        String held = scan.takeHeld();
        for (int i = 0; i < held.length(); i++) {
            answer.accept(held.charAt(i));
        }
    }

    private void reason(char c) {
        switch (end.accept(c)) {
            case HELD -> {}
            case MARKER -> {
                end.takeHeld();
                writer.marker();
                place = Place.ANSWER;
            }
            case TEXT -> {
                if (end.holds()) {
                    reasoning(end.takeHeld());
                    reason(c);
                } else {
                    writer.reasoning(c);
                }
            }
        }
    }

    private void reasoning(String text) {
        for (int i = 0; i < text.length(); i++) {
            writer.reasoning(text.charAt(i));
        }
    }

    @Override
    public void finish() {
        switch (place) {
            case START -> {
                replay(begin);
                answer.finish();
            }
            case REASONING -> reasoning(end.takeHeld());
            case ANSWER -> answer.finish();
        }
    }
}
