package io.penstock.model.answer;

/// Calls as Llama 3 writes them: an answer that is nothing but `{"name": …, "parameters": {…}}`, or several with `;`
/// between, or what follows `<|python_tag|>`, which is such an object, a call of a built-in tool
/// (`brave_search.call(query="…")`), or code for [#INTERPRETER].
final class Llama3Calls implements AnswerParser.Reader {
    static final String PYTHON_TAG = "<|python_tag|>";
    /// The function that code is an argument of, `{"code": "…"}`.
    static final String INTERPRETER = "code_interpreter";

    private enum Place {
        START,
        TAG,
        CALL,
        BEHIND_CALL,
        CODE,
        TEXT
    }

    private final PartWriter writer;
    private final MarkerScan tag = new MarkerScan(PYTHON_TAG);
    private final StringBuilder code = new StringBuilder();
    private Place place = Place.START;
    private CallObject call;

    Llama3Calls(PartWriter writer) {
        this.writer = writer;
    }

    @Override
    public void accept(char c) {
        switch (place) {
            case START -> start(c);
            case TAG -> behindTag(c);
            case CALL -> {
                switch (call.accept(c)) {
                    case MORE -> {}
                    case DONE -> place = Place.BEHIND_CALL;
                    case FAILED -> {
                        call.abandon();
                        place = Place.TEXT;
                        text(c);
                    }
                }
            }
            case BEHIND_CALL -> {
                if (c == '{') {
                    beginCall("", c);
                } else if (!PartWriter.isSpace(c) && c != ';') {
                    place = Place.TEXT;
                    text(c);
                }
            }
            case CODE -> code.append(c);
            case TEXT -> text(c);
        }
    }

    private void start(char c) {
        if (c == '{' && !tag.holds()) {
            beginCall("", c);
        } else if (PartWriter.isSpace(c) && !tag.holds()) {
            writer.content(c);
        } else {
            text(c);
        }
    }

    // The tag is a token of its own, which no text spells: it counts wherever it stands.
    private void text(char c) {
        switch (tag.accept(c)) {
            case HELD -> {}
            case MARKER -> {
                tag.takeHeld();
                place = Place.TAG;
            }
            case TEXT -> {
                place = Place.TEXT;
                if (tag.holds()) {
                    writer.content(tag.takeHeld());
                    text(c);
                } else {
                    writer.content(c);
                }
            }
        }
    }

    private void behindTag(char c) {
        if (c == '{') {
            beginCall(PYTHON_TAG, c);
        } else if (!PartWriter.isSpace(c)) {
            place = Place.CODE;
            code.append(c);
        }
    }

    private void beginCall(String before, char brace) {
        call = new CallObject(writer, before, true);
        call.accept(brace);
        place = Place.CALL;
    }

    @Override
    public void finish() {
        switch (place) {
            case START, TEXT -> writer.content(tag.takeHeld());
            case TAG -> writer.content(PYTHON_TAG);
            case CALL -> call.abandon();
            case CODE -> {
                BuiltInCall builtIn = BuiltInCall.of(code.toString());
                writer.beginCall(builtIn.name());
                writer.arguments(builtIn.arguments());
                writer.endCall(true);
            }
            case BEHIND_CALL -> {}
        }
    }
}
