package io.penstock.model.sampling;

import com.google.errorprone.annotations.FormatMethod;
import com.google.errorprone.annotations.FormatString;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.util.Map;

/// How the next token is drawn, with every bound checked where it is made.
///
/// Order of application, as in vLLM: logit bias and penalties, then temperature, then min-p, top-k, top-p on what is
/// left, then the draw. Log-probabilities are of the model's own distribution, before all of it.
///
/// @param temperature 0 (greedy) to 2
/// @param topP (0, 1]; 1 is off
/// @param topK >= 0; 0 is off
/// @param minP [0, 1]; 0 is off
/// @param repetitionPenalty (0, 2]; 1 is off; over prompt and generated tokens
/// @param frequencyPenalty [-2, 2]; 0 is off; over generated tokens
/// @param presencePenalty [-2, 2]; 0 is off; over generated tokens
/// @param logitBias token id to [-100, 100]; ids are checked against the vocabulary by [#checkVocabulary]
/// @param seed a draw depends on (seed, position in the generated text) alone
public record SamplingParameters(
        float temperature,
        float topP,
        int topK,
        float minP,
        float repetitionPenalty,
        float frequencyPenalty,
        float presencePenalty,
        Map<Integer, Float> logitBias,
        long seed) {

    public static final int MAX_LOGIT_BIAS = 1_024;
    public static final int MAX_TOP_LOGPROBS = 20;

    public SamplingParameters {
        logitBias = Map.copyOf(logitBias);
        within("temperature", temperature, 0, 2);
        within("top_p", topP, Float.MIN_NORMAL, 1);
        if (topK < 0) {
            throw bad("top_k is %d, must be 0 (off) or more", topK);
        }
        within("min_p", minP, 0, 1);
        within("repetition_penalty", repetitionPenalty, Float.MIN_NORMAL, 2);
        within("frequency_penalty", frequencyPenalty, -2, 2);
        within("presence_penalty", presencePenalty, -2, 2);
        if (logitBias.size() > MAX_LOGIT_BIAS) {
            throw bad("logit_bias has %d entries, at most %d are allowed", logitBias.size(), MAX_LOGIT_BIAS);
        }
        logitBias.forEach((id, bias) -> within("logit_bias of token " + id, bias, -100, 100));
    }

    public static SamplingParameters greedy() {
        return new SamplingParameters(0, 1, 0, 0, 1, 0, 0, Map.of(), 0);
    }

    /// @throws PenstockException (bad input) if a biased id is not in the vocabulary
    public SamplingParameters checkVocabulary(int vocabularySize) {
        for (int id : logitBias.keySet()) {
            if (id < 0 || id >= vocabularySize) {
                throw bad("logit_bias names token %d, the vocabulary has %d", id, vocabularySize);
            }
        }
        return this;
    }

    // Written so that NaN fails.
    private static void within(String what, float value, float least, float most) {
        if (!(value >= least && value <= most)) {
            throw bad("%s is %s, must lie in [%s, %s]", what, value, least, most);
        }
    }

    @FormatMethod
    private static PenstockException bad(@FormatString String format, Object... arguments) {
        return new PenstockException(ErrorCategory.BAD_INPUT, format, arguments);
    }
}
