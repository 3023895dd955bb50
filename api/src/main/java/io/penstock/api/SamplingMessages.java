package io.penstock.api;

import io.penstock.api.inference.LogitBias;
import io.penstock.api.inference.Sampling;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.sampling.SamplingParameters;
import java.util.HashMap;
import java.util.Map;

/// How a message's sampling becomes parameters, whose bounds are checked with it: by each service
/// that is sent one, for not everybody who sends one is one of ours.
public final class SamplingMessages {
    private SamplingMessages() {}

    /// @throws PenstockException (bad input) naming the field
    public static SamplingParameters parameters(Sampling sampling, int vocabularySize) {
        int biases = sampling.getLogitBiasCount();
        if (biases > SamplingParameters.MAX_LOGIT_BIAS) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT,
                    "logit_bias' length is %d, must lie in [0, %d]",
                    biases,
                    SamplingParameters.MAX_LOGIT_BIAS);
        }
        Map<Integer, Float> bias = new HashMap<>();
        for (LogitBias one : sampling.getLogitBiasList()) {
            if (bias.put(one.getTokenId(), one.getBias()) != null) {
                throw new PenstockException(
                        ErrorCategory.BAD_INPUT, "logit_bias names token %d twice", one.getTokenId());
            }
        }
        return new SamplingParameters(
                        sampling.getTemperature(),
                        sampling.getTopP(),
                        sampling.getTopK(),
                        sampling.getMinP(),
                        sampling.getRepetitionPenalty(),
                        sampling.getFrequencyPenalty(),
                        sampling.getPresencePenalty(),
                        bias,
                        sampling.getSeed())
                .checkVocabulary(vocabularySize);
    }
}
