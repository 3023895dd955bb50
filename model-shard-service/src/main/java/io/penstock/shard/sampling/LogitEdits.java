package io.penstock.shard.sampling;

import io.penstock.model.sampling.SamplingParameters;

/// Changes to a row of logits, remembered so that they can be taken back: bias, minimum length, penalties.
final class LogitEdits {
    private final int[] places;
    private final float[] originals;
    private int count;
    private float[] logits;
    private int offset;

    LogitEdits(int vocabularySize) {
        // Every token at most once by each of: bias, minimum length, penalties.
        places = new int[3 * vocabularySize];
        originals = new float[3 * vocabularySize];
    }

    void begin(float[] row, int rowOffset) {
        logits = row;
        offset = rowOffset;
        count = 0;
    }

    /// @return whether anything changed
    boolean apply(SlotState slot, int generatedPosition) {
        for (int i = 0; i < slot.biasTokens.length; i++) {
            int token = slot.biasTokens[i];
            set(token, logits[offset + token] + slot.biases[i]);
        }
        if (generatedPosition < slot.minTokens) {
            for (int token : slot.stopTokens) {
                set(token, -Float.MAX_VALUE);
            }
        }
        if (slot.counts != null) {
            penalise(slot.parameters, slot.counts);
        }
        return count > 0;
    }

    private void penalise(SamplingParameters parameters, TokenCounts counts) {
        float repetition = parameters.repetitionPenalty();
        float frequency = parameters.frequencyPenalty();
        float presence = parameters.presencePenalty();
        for (int i = 0; i < counts.distinctCount(); i++) {
            int token = counts.token(i);
            float logit = logits[offset + token];
            logit = logit > 0 ? logit / repetition : logit * repetition;
            int generated = counts.generated(token);
            if (generated > 0) {
                logit -= frequency * generated + presence;
            }
            set(token, logit);
        }
    }

    // Finite, so that no parameters of one request can make a distribution that fails the step of all: a
    // penalty near zero divides beyond all bounds, and stop tokens may be the whole vocabulary.
    private void set(int token, float value) {
        int place = offset + token;
        places[count] = place;
        originals[count++] = logits[place];
        logits[place] = Math.clamp(value, -Float.MAX_VALUE, Float.MAX_VALUE);
    }

    void restore() {
        while (count > 0) {
            count--;
            logits[places[count]] = originals[count];
        }
        logits = null;
    }
}
