package io.penstock.gateway.config;

/// Whether `<think>…</think>` at the beginning of an answer is told apart from it; the names are vLLM's.
public enum ReasoningParser {
    /// If the model's chat template knows of it.
    AUTO,
    NONE,
    DEEPSEEK_R1;

    /// @param told by the template
    public boolean reasoning(boolean told) {
        return switch (this) {
            case AUTO -> told;
            case NONE -> false;
            case DEEPSEEK_R1 -> true;
        };
    }
}
