package io.penstock.gateway.chat;

/// Why a choice ended.
public enum FinishReason {
    /// A stop token or a stop text.
    STOP("stop"),
    /// The token limit, or the context's end.
    LENGTH("length"),
    /// The model wants functions called, and then to go on.
    TOOL_CALLS("tool_calls");

    private final String text;

    FinishReason(String text) {
        this.text = text;
    }

    /// As the APIs spell it.
    public String text() {
        return text;
    }
}
