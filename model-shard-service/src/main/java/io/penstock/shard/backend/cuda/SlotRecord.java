package io.penstock.shard.backend.cuda;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.sampling.SamplingParameters;
import io.penstock.shard.backend.SlotSampling;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;

/// A slot's sampling as the kernel `sample` reads it (`Slot` in sampling.cu), in words.
final class SlotRecord {
    private static final int FIXED_WORDS = 16;
    private static final int MAX_STOP_TOKENS = 1_024;

    /// Words a slot takes on the device.
    static final int WORDS = FIXED_WORDS + 2 * SamplingParameters.MAX_LOGIT_BIAS + MAX_STOP_TOKENS;

    private SlotRecord() {}

    static boolean penalises(SamplingParameters parameters) {
        return parameters.repetitionPenalty() != 1
                || parameters.frequencyPenalty() != 0
                || parameters.presencePenalty() != 0;
    }

    /// @return words that [#write] writes
    static int words(SlotSampling sampling) {
        return 4
                + FIXED_WORDS
                + 2 * sampling.parameters().logitBias().size()
                + sampling.stopTokens().length
                + (penalises(sampling.parameters()) ? sampling.tokens().length : 0);
    }

    /// Writes an admission from `at` on, in words.
    ///
    /// @return the word behind it
    /// @throws PenstockException (bad input) if a token is not in the vocabulary, or stop tokens are
    ///     too many
    static int write(MemorySegment to, int at, int slot, SlotSampling sampling, int vocabulary) {
        SamplingParameters parameters = sampling.parameters().checkVocabulary(vocabulary);
        check("token", sampling.tokens(), vocabulary);
        check("stop token", sampling.stopTokens(), vocabulary);
        if (sampling.stopTokens().length > MAX_STOP_TOKENS) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT,
                    "%d stop tokens, at most %d are served",
                    sampling.stopTokens().length,
                    MAX_STOP_TOKENS);
        }
        boolean penalises = penalises(parameters);
        int[] biased = parameters.logitBias().keySet().stream()
                .mapToInt(Integer::intValue)
                .sorted()
                .toArray();
        Words words = new Words(to, at);
        words.put(slot);
        words.put(FIXED_WORDS + 2 * biased.length + sampling.stopTokens().length);
        words.put(penalises ? sampling.tokens().length : 0);
        words.put(sampling.tokens().length - sampling.promptLength());

        words.put(parameters.temperature());
        words.put(parameters.topP());
        words.put(parameters.minP());
        words.put(parameters.repetitionPenalty());
        words.put(parameters.frequencyPenalty());
        words.put(parameters.presencePenalty());
        words.put(parameters.topK());
        words.put(sampling.topLogprobs());
        words.put(sampling.minTokens());
        words.put(penalises ? 1 : 0);
        words.put(biased.length);
        words.put(sampling.stopTokens().length);
        words.put((int) parameters.seed());
        words.put((int) (parameters.seed() >>> 32));
        words.put(0);
        words.put(0);
        Arrays.stream(biased).forEach(words::put);
        Arrays.stream(biased).forEach(id -> words.put(parameters.logitBias().get(id)));
        Arrays.stream(sampling.stopTokens()).forEach(words::put);
        if (penalises) {
            Arrays.stream(sampling.tokens()).forEach(words::put);
        }
        return words.at;
    }

    private static void check(String what, int[] tokens, int vocabulary) {
        for (int token : tokens) {
            if (token < 0 || token >= vocabulary) {
                throw new PenstockException(
                        ErrorCategory.BAD_INPUT, "%s %d, the vocabulary has %d", what, token, vocabulary);
            }
        }
    }

    private static final class Words {
        private final MemorySegment to;
        private int at;

        Words(MemorySegment to, int at) {
            this.to = to;
            this.at = at;
        }

        void put(int value) {
            to.setAtIndex(ValueLayout.JAVA_INT, at++, value);
        }

        void put(float value) {
            to.setAtIndex(ValueLayout.JAVA_FLOAT, at++, value);
        }
    }
}
