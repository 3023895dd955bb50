package io.penstock.shard.step;

import io.penstock.api.SamplingMessages;
import io.penstock.api.shard.Admission;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.sampling.SamplingParameters;
import io.penstock.shard.backend.SlotSampling;
import java.util.List;

/// How an admission becomes what a backend reads. Everything is checked again here: a bad id that
/// reached the device would take the whole group down.
final class AdmissionMessages {
    private AdmissionMessages() {}

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
                SamplingMessages.parameters(admission.getSampling(), vocabularySize),
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

    static void within(String what, long value, long least, long most) {
        if (value < least || value > most) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT, "%s is %d, must lie in [%d, %d]", what, value, least, most);
        }
    }
}
