package io.penstock.gateway.config;

import io.penstock.model.answer.AnswerFormat.Calls;

/// Which calls of functions are looked for in answers; the names are vLLM's.
public enum ToolCallParser {
    /// What the model's chat template tells of it.
    AUTO,
    NONE,
    HERMES,
    LLAMA3_JSON,
    DEEPSEEK_V3;

    /// @param told by the template
    public Calls calls(Calls told) {
        return switch (this) {
            case AUTO -> told;
            case NONE -> Calls.NONE;
            case HERMES -> Calls.HERMES;
            case LLAMA3_JSON -> Calls.LLAMA3;
            case DEEPSEEK_V3 -> Calls.DEEPSEEK;
        };
    }
}
