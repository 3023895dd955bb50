package io.penstock.gateway.telemetry;

import io.penstock.model.sampling.SamplingParameters;
import java.util.OptionalInt;

/// What telemetry may know of a request: nothing of what was said.
///
/// @param operation `chat` or `text_completion`
/// @param choices answers to each prompt
/// @param sequences answers in all
/// @param promptTokens of all prompts
public record Generation(
        String id,
        String operation,
        String model,
        boolean streams,
        SamplingParameters sampling,
        OptionalInt maxTokens,
        int choices,
        int sequences,
        int promptTokens) {}
