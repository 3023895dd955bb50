package io.penstock.shard.backend;

import io.penstock.model.sampling.SamplingParameters;

/// How a slot's next token is drawn; fixed from admission to retirement.
///
/// @param tokens the sequence as admitted, for penalties: the first `promptLength` are the prompt
/// @param stopTokens not sampled before `minTokens` were generated
/// @param topLogprobs alternatives to report; -1 for no log-probabilities at all
public record SlotSampling(
        SamplingParameters parameters,
        int[] tokens,
        int promptLength,
        int[] stopTokens,
        int minTokens,
        int topLogprobs) {}
