package io.penstock.shard.sampling;

import io.penstock.model.sampling.SamplingParameters;
import io.penstock.shard.backend.SlotSampling;
import java.util.Arrays;

/// One slot's sampling, unpacked at admission so that a step touches arrays only.
final class SlotState {
    final SamplingParameters parameters;
    final int[] biasTokens;
    final float[] biases;
    final int[] stopTokens;
    final int minTokens;
    final int topLogprobs;
    /// Null for a slot without penalties.
    final TokenCounts counts;

    SlotState(SlotSampling sampling, TokenCounts counts) {
        parameters = sampling.parameters();
        biasTokens = parameters.logitBias().keySet().stream()
                .mapToInt(Integer::intValue)
                .sorted()
                .toArray();
        biases = new float[biasTokens.length];
        for (int i = 0; i < biases.length; i++) {
            biases[i] = parameters.logitBias().get(biasTokens[i]);
        }
        // Distinct, so that masking one twice cannot record the mask as the value to restore.
        stopTokens = Arrays.stream(sampling.stopTokens()).distinct().toArray();
        minTokens = sampling.minTokens();
        topLogprobs = sampling.topLogprobs();
        this.counts = counts;
        if (counts != null) {
            counts.clear();
            int[] tokens = sampling.tokens();
            for (int i = 0; i < tokens.length; i++) {
                if (i < sampling.promptLength()) {
                    counts.addPrompt(tokens[i]);
                } else {
                    counts.addGenerated(tokens[i]);
                }
            }
        }
    }

    static boolean penalises(SamplingParameters parameters) {
        return parameters.repetitionPenalty() != 1
                || parameters.frequencyPenalty() != 0
                || parameters.presencePenalty() != 0;
    }
}
