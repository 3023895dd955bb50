package io.penstock.model.answer;

import java.util.Set;

/// Calls as DeepSeek writes them, between tokens of their own. V3 and R1:
/// `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME`, a fenced JSON block, `<｜tool▁call▁end｜>`, more
/// calls, `<｜tool▁calls▁end｜>`. V3.1 has the name before the separator and the bare object behind it.
final class DeepSeekCalls implements AnswerParser.Reader {
    static final String CALLS_BEGIN = "<｜tool▁calls▁begin｜>";
    private static final String CALLS_END = "<｜tool▁calls▁end｜>";
    private static final String CALL_BEGIN = "<｜tool▁call▁begin｜>";
    private static final String CALL_END = "<｜tool▁call▁end｜>";
    private static final String SEPARATOR = "<｜tool▁sep｜>";
    static final Set<String> MARKERS = Set.of(CALLS_BEGIN, CALLS_END, CALL_BEGIN, CALL_END, SEPARATOR);
    private static final int LONGEST_NAME = 256;
    /// What may stand between a name and its arguments, beside white space.
    private static final String FENCE = "```json";

    private enum Place {
        TEXT,
        BETWEEN_CALLS,
        KIND,
        BEHIND_SEPARATOR,
        NAME,
        FENCE,
        ARGUMENTS,
        BEHIND_ARGUMENTS
    }

    private final PartWriter writer;
    private final MarkerScan callsBegin = new MarkerScan(CALLS_BEGIN);
    private final MarkerScan next = new MarkerScan(CALL_BEGIN, CALLS_END);
    private final MarkerScan separator = new MarkerScan(SEPARATOR);
    private final MarkerScan callEnd = new MarkerScan(CALL_END);
    private final ValueEnd end = new ValueEnd();
    /// Since the last thing that was given out, while it may turn out to be no call.
    private final StringBuilder raw = new StringBuilder();

    private final StringBuilder name = new StringBuilder();
    private final StringBuilder fence = new StringBuilder();
    private Place place = Place.TEXT;

    DeepSeekCalls(PartWriter writer) {
        this.writer = writer;
    }

    @Override
    public void accept(char c) {
        switch (place) {
            case TEXT -> text(c);
            case BETWEEN_CALLS -> between(c);
            case KIND -> kind(c);
            case BEHIND_SEPARATOR -> behindSeparator(c);
            case NAME -> name(c);
            case FENCE -> fence(c);
            case ARGUMENTS -> arguments(c);
            case BEHIND_ARGUMENTS -> behindArguments(c);
        }
    }

    private void text(char c) {
        switch (callsBegin.accept(c)) {
            case HELD -> {}
            case MARKER -> {
                raw.append(callsBegin.takeHeld());
                place = Place.BETWEEN_CALLS;
            }
            case TEXT -> {
                if (callsBegin.holds()) {
                    writer.content(callsBegin.takeHeld());
                    text(c);
                } else {
                    writer.content(c);
                }
            }
        }
    }

    private void between(char c) {
        if (!next.holds() && PartWriter.isSpace(c)) {
            raw.append(c);
            return;
        }
        switch (next.accept(c)) {
            case HELD -> {}
            case MARKER -> {
                String marker = next.takeHeld();
                if (marker.equals(CALL_BEGIN)) {
                    raw.append(marker);
                    name.setLength(0);
                    place = Place.KIND;
                } else {
                    raw.setLength(0);
                    writer.marker();
                    place = Place.TEXT;
                }
            }
            case TEXT -> {
                raw.append(next.takeHeld());
                fail(c);
            }
        }
    }

    private void kind(char c) {
        switch (separator.accept(c)) {
            case HELD -> {}
            case MARKER -> {
                raw.append(separator.takeHeld());
                place = Place.BEHIND_SEPARATOR;
            }
            case TEXT -> {
                if (separator.holds() || name.length() == LONGEST_NAME) {
                    raw.append(separator.takeHeld());
                    fail(c);
                } else {
                    raw.append(c);
                    name.append(c);
                }
            }
        }
    }

    private void behindSeparator(char c) {
        if (c == '{') {
            begin(c);
        } else if (PartWriter.isSpace(c)) {
            raw.append(c);
        } else {
            name.setLength(0);
            place = Place.NAME;
            name(c);
        }
    }

    private void name(char c) {
        if (c == '<' || name.length() == LONGEST_NAME) {
            fail(c);
            return;
        }
        raw.append(c);
        if (c == '\n') {
            fence.setLength(0);
            place = Place.FENCE;
        } else {
            name.append(c);
        }
    }

    private void fence(char c) {
        if (c == '{') {
            begin(c);
        } else if (PartWriter.isSpace(c)) {
            raw.append(c);
        } else if (fence.length() < FENCE.length() && FENCE.charAt(fence.length()) == c) {
            fence.append(c);
            raw.append(c);
        } else {
            fail(c);
        }
    }

    private void begin(char c) {
        String called = name.toString().strip();
        if (called.isEmpty()) {
            fail(c);
            return;
        }
        raw.setLength(0);
        writer.beginCall(called);
        writer.arguments(c);
        end.begin(c);
        place = Place.ARGUMENTS;
    }

    private void arguments(char c) {
        writer.arguments(c);
        if (end.accept(c) == ValueEnd.Step.HERE) {
            writer.endCall(true);
            place = Place.BEHIND_ARGUMENTS;
        }
    }

    private void behindArguments(char c) {
        if (!callEnd.holds() && (PartWriter.isSpace(c) || c == '`')) {
            return;
        }
        switch (callEnd.accept(c)) {
            case HELD -> {}
            case MARKER -> {
                callEnd.takeHeld();
                place = Place.BETWEEN_CALLS;
            }
            case TEXT -> {
                raw.append(callEnd.takeHeld());
                fail(c);
            }
        }
    }

    /// What was read since the last call is text, and so is what follows.
    private void fail(char c) {
        writer.content(raw);
        raw.setLength(0);
        place = Place.TEXT;
        text(c);
    }

    @Override
    public void finish() {
        if (place == Place.ARGUMENTS) {
            writer.endCall(false);
        }
        for (MarkerScan scan : new MarkerScan[] {callsBegin, next, separator, callEnd}) {
            raw.append(scan.takeHeld());
        }
        writer.content(raw);
    }
}
