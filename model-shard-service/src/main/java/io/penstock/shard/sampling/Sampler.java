package io.penstock.shard.sampling;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.sampling.SamplingParameters;
import io.penstock.shard.backend.SlotSampling;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.StepOutput;

/// Draws the next token of each slot from its logits, in the order of application that [SamplingParameters]
/// gives.
///
/// Deterministic: sums run in id order in double precision, equal logits go to the lower id, and the draw
/// depends on (seed, position) alone. For one thread; allocates at admission only.
public final class Sampler {
    private final int vocabularySize;
    private final SlotState[] slots;
    // Kept when a slot is admitted anew: allocated for its first sequence with penalties.
    private final TokenCounts[] counts;
    private final LogitEdits edits;
    private final CandidateHeap heap;
    private final int[] kept;
    private final double[] mass;

    public Sampler(int vocabularySize, StepLimits limits) {
        this.vocabularySize = vocabularySize;
        slots = new SlotState[limits.maxSequences()];
        counts = new TokenCounts[limits.maxSequences()];
        edits = new LogitEdits(vocabularySize);
        heap = new CandidateHeap(vocabularySize);
        kept = new int[vocabularySize];
        mass = new double[vocabularySize];
    }

    /// Starts a sequence in `slot`, whatever was there before.
    ///
    /// @throws PenstockException (bad input) if a token id, a count or a bias does not fit the vocabulary
    public void admit(int slot, SlotSampling sampling) {
        sampling.parameters().checkVocabulary(vocabularySize);
        checkTokens("token", sampling.tokens());
        checkTokens("stop token", sampling.stopTokens());
        if (sampling.promptLength() < 0 || sampling.promptLength() > sampling.tokens().length) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT,
                    "prompt length %d of a sequence of %d tokens",
                    sampling.promptLength(),
                    sampling.tokens().length);
        }
        if (sampling.topLogprobs() > SamplingParameters.MAX_TOP_LOGPROBS) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT,
                    "top_logprobs is %d, at most %d are given",
                    sampling.topLogprobs(),
                    SamplingParameters.MAX_TOP_LOGPROBS);
        }
        boolean penalises = SlotState.penalises(sampling.parameters());
        if (penalises && counts[slot] == null) {
            counts[slot] = new TokenCounts(vocabularySize);
        }
        slots[slot] = new SlotState(sampling, penalises ? counts[slot] : null);
    }

    private void checkTokens(String what, int[] tokens) {
        for (int token : tokens) {
            if (token < 0 || token >= vocabularySize) {
                throw new PenstockException(
                        ErrorCategory.BAD_INPUT, "%s %d, the vocabulary has %d", what, token, vocabularySize);
            }
        }
    }

    /// Counts a generated token that another rank sampled. [#sample] has done so for its own.
    public void accept(int slot, int token) {
        TokenCounts slotCounts = slots[slot].counts;
        if (slotCounts != null) {
            slotCounts.addGenerated(token);
        }
    }

    /// Samples the slot's next token and appends it to `output`.
    ///
    /// @param generatedPosition index of the token in the generated text
    /// @param logits one value a vocabulary entry from `offset`; used as scratch, and restored on return
    /// @throws PenstockException (internal) if the logits are no distribution: NaN, infinity, or nothing
    ///     left
    public void sample(int slot, int generatedPosition, float[] logits, int offset, StepOutput output) {
        SlotState state = slots[slot];
        int best = argmax(slot, logits, offset);
        int entry = output.count;
        // Of the model's own distribution, so before any edit.
        double logSum = 0;
        if (state.topLogprobs >= 0) {
            logSum = logSumExp(logits, offset, logits[offset + best]);
            top(state.topLogprobs, logits, offset, logSum, output, entry);
        } else {
            output.topCount[entry] = 0;
        }

        edits.begin(logits, offset);
        int token;
        try {
            if (edits.apply(state, generatedPosition)) {
                best = argmax(slot, logits, offset);
            }
            token = state.parameters.temperature() == 0
                    ? best
                    : draw(state.parameters, generatedPosition, logits, offset, logits[offset + best]);
        } finally {
            edits.restore();
        }

        output.slot[entry] = slot;
        output.token[entry] = token;
        output.logprob[entry] = state.topLogprobs >= 0 ? (float) (logits[offset + token] - logSum) : 0;
        output.count = entry + 1;
        if (state.counts != null) {
            state.counts.addGenerated(token);
        }
    }

    // Negated comparison: the first NaN becomes the best, and ends the search.
    private int argmax(int slot, float[] logits, int offset) {
        int best = 0;
        float bestLogit = Float.NEGATIVE_INFINITY;
        for (int id = 0; id < vocabularySize; id++) {
            float logit = logits[offset + id];
            if (!(logit <= bestLogit)) {
                best = id;
                bestLogit = logit;
                if (Float.isNaN(logit)) {
                    break;
                }
            }
        }
        if (!(Math.abs(bestLogit) < Float.POSITIVE_INFINITY)) {
            throw new PenstockException(
                    ErrorCategory.INTERNAL, "logits of slot %d hold %s at token %d", slot, bestLogit, best);
        }
        return best;
    }

    private double logSumExp(float[] logits, int offset, float max) {
        double sum = 0;
        for (int id = 0; id < vocabularySize; id++) {
            sum += Math.exp((double) logits[offset + id] - max);
        }
        return max + Math.log(sum);
    }

    // Insertion into a short sorted list; scanning ids upwards leaves equal logits in id order.
    private void top(int count, float[] logits, int offset, double logSum, StepOutput output, int entry) {
        int[] tokens = output.topTokens[entry];
        float[] values = output.topLogprobs[entry];
        int wanted = Math.min(count, vocabularySize);
        int held = 0;
        for (int id = 0; id < vocabularySize && wanted > 0; id++) {
            float logit = logits[offset + id];
            if (held == wanted && logit <= values[held - 1]) {
                continue;
            }
            int place = held < wanted ? held++ : held - 1;
            while (place > 0 && values[place - 1] < logit) {
                values[place] = values[place - 1];
                tokens[place] = tokens[place - 1];
                place--;
            }
            values[place] = logit;
            tokens[place] = id;
        }
        for (int i = 0; i < held; i++) {
            values[i] = (float) (values[i] - logSum);
        }
        output.topCount[entry] = held;
    }

    private int draw(SamplingParameters parameters, int position, float[] logits, int offset, float max) {
        double uniform = Philox.uniform(parameters.seed(), position);
        double inverseTemperature = 1.0 / parameters.temperature();
        // p >= minP * pMax, as a bound on logits. ln(0) is -infinity, which keeps all.
        double floor = max + Math.log(parameters.minP()) * parameters.temperature();
        int topK = parameters.topK() == 0 ? vocabularySize : parameters.topK();
        boolean truncates = topK < vocabularySize || parameters.topP() < 1;
        int candidates = 0;
        double total = 0;
        heap.clear();
        for (int id = 0; id < vocabularySize; id++) {
            float logit = logits[offset + id];
            if (logit < floor) {
                continue;
            }
            if (truncates) {
                heap.add(id, logit);
            } else {
                kept[candidates] = id;
            }
            // With top-k the mass is that of the k, summed below.
            if (topK >= vocabularySize) {
                double p = Math.exp(((double) logit - max) * inverseTemperature);
                mass[candidates] = p;
                total += p;
            }
            candidates++;
        }
        if (truncates) {
            heap.order();
            candidates = Math.min(topK, candidates);
            if (topK < vocabularySize) {
                total = 0;
                for (int i = 0; i < candidates; i++) {
                    keep(i, logits, offset, max, inverseTemperature);
                    total += mass[i];
                }
                candidates = nucleus(candidates, parameters.topP() * total);
            } else {
                candidates = popNucleus(parameters.topP() * total, logits, offset, max, inverseTemperature);
            }
            total = 0;
            for (int i = 0; i < candidates; i++) {
                total += mass[i];
            }
        }
        return pick(candidates, uniform * total);
    }

    private void keep(int i, float[] logits, int offset, float max, double inverseTemperature) {
        int token = heap.pop();
        kept[i] = token;
        mass[i] = Math.exp(((double) logits[offset + token] - max) * inverseTemperature);
    }

    /// @return how many of the first `count` kept, best first, are needed to reach `wanted`
    private int nucleus(int count, double wanted) {
        double reached = 0;
        for (int i = 0; i < count; i++) {
            reached += mass[i];
            if (reached >= wanted) {
                return i + 1;
            }
        }
        return count;
    }

    private int popNucleus(double wanted, float[] logits, int offset, float max, double inverseTemperature) {
        double reached = 0;
        int count = 0;
        while (heap.size() > 0 && (count == 0 || reached < wanted)) {
            keep(count, logits, offset, max, inverseTemperature);
            reached += mass[count++];
        }
        return count;
    }

    private int pick(int count, double target) {
        double reached = 0;
        // Rounding may leave the target just out of reach: then the last token with any mass.
        int last = 0;
        for (int i = 0; i < count; i++) {
            if (mass[i] > 0) {
                last = i;
                reached += mass[i];
                if (reached > target) {
                    break;
                }
            }
        }
        return kept[last];
    }
}
