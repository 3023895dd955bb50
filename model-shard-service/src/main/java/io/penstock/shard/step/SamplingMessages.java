package io.penstock.shard.step;

import io.penstock.api.inference.LogitBias;
import io.penstock.api.inference.Sampling;
import io.penstock.api.shard.Admission;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.sampling.SamplingParameters;
import io.penstock.shard.backend.SlotSampling;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// How an admission's sampling becomes what a backend reads. Everything is checked again here: a bad id that
/// reached the device would take the whole group down.
final class SamplingMessages {
    private SamplingMessages() {}

    /// @throws PenstockException (bad input) naming the field
    static SlotSampling read(Admission admission, int vocabularySize) {
        int[] tokens = tokens("token", admission.getTokensList(), vocabularySize);
        int[] stops = tokens("stop token", admission.getStopTokenIdsList(), vocabularySize);
        within("prompt_length", admission.getPromptLength(), 1, tokens.length);
        within("min_tokens", admission.getMinTokens(), 0, Integer.MAX_VALUE);
        int topLogprobs = -1;
        if (admission.hasTopLogprobs()) {
            topLogprobs = admission.getTopLogprobs();
            within("top_logprobs", topLogprobs, 0, SamplingParameters.MAX_TOP_LOGPROBS);
        }
        return new SlotSampling(
                parameters(admission.getSampling()).checkVocabulary(vocabularySize),
                tokens,
                admission.getPromptLength(),
                stops,
                admission.getMinTokens(),
                topLogprobs);
    }

    private static int[] tokens(String what, List<Integer> ids, int vocabularySize) {
        int[] tokens = new int[ids.size()];
        for (int i = 0; i < tokens.length; i++) {
            tokens[i] = ids.get(i);
            within(what, tokens[i], 0, vocabularySize - 1);
        }
        return tokens;
    }

    private static SamplingParameters parameters(Sampling sampling) {
        within("logit_bias entries", sampling.getLogitBiasCount(), 0, SamplingParameters.MAX_LOGIT_BIAS);
        Map<Integer, Float> bias = new HashMap<>();
        for (LogitBias entry : sampling.getLogitBiasList()) {
            bias.put(entry.getTokenId(), entry.getBias());
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
                sampling.getSeed());
    }

    static void within(String what, long value, long least, long most) {
        if (value < least || value > most) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT, "%s is %d, must lie in [%d, %d]", what, value, least, most);
        }
    }
}
