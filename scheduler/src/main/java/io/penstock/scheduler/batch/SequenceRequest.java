package io.penstock.scheduler.batch;

import io.penstock.api.inference.Sampling;
import java.util.Map;

/// What was asked for, checked. See `inference.proto`.
///
/// @param tokens prompt, then the tokens of an earlier attempt; not copied, not changed
/// @param promptLength of `tokens`, the prompt's
/// @param stopTokens ascending
/// @param maxTokens to generate in all; 0: up to the context's end
/// @param topLogprobs -1: no log-probabilities
/// @param deadline on the scheduler's clock; [#NO_DEADLINE] for none
/// @param trace W3C trace context of the sequence's span
public record SequenceRequest(
        String id,
        String model,
        int[] tokens,
        int promptLength,
        Sampling sampling,
        int[] stopTokens,
        int maxTokens,
        int minTokens,
        int topLogprobs,
        int priority,
        long deadline,
        Map<String, String> trace) {
    public static final long NO_DEADLINE = Long.MAX_VALUE;

    public SequenceRequest {
        if (promptLength < 1 || promptLength > tokens.length) {
            throw new IllegalArgumentException("prompt of %d tokens in %d".formatted(promptLength, tokens.length));
        }
    }

    /// Tokens generated and delivered by an earlier attempt.
    public int resumed() {
        return tokens.length - promptLength;
    }
}
