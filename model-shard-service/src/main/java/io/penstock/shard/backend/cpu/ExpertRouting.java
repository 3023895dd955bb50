package io.penstock.shard.backend.cpu;

import io.penstock.model.config.Experts;
import java.util.Arrays;

/// Chooses a token's experts and what each counts for. Of equals the first one is chosen.
final class ExpertRouting {
    private final Experts experts;
    private final float[] weight;
    /// What experts are chosen by.
    private final float[] choice;

    private final float[] groupScore;
    private final boolean[] kept;
    private final boolean[] taken;

    ExpertRouting(Experts experts) {
        this.experts = experts;
        weight = new float[experts.count()];
        choice = new float[experts.count()];
        groupScore = new float[experts.groups()];
        kept = new boolean[experts.groups()];
        taken = new boolean[experts.count()];
    }

    /// @param logits of the router, one an expert, from `at`
    /// @param bias null for none
    /// @param chosen receives [Experts#used()] numbers from `to`, ascending
    /// @param weights receives theirs
    void route(float[] logits, int at, float[] bias, int[] chosen, float[] weights, int to) {
        switch (experts.routing()) {
            case SOFTMAX -> softmax(logits, at);
            case BIASED_SIGMOID -> {
                for (int i = 0; i < weight.length; i++) {
                    weight[i] = 1 / (1 + Exponential.exp(-logits[at + i]));
                }
            }
        }
        for (int i = 0; i < weight.length; i++) {
            choice[i] = bias == null ? weight[i] : weight[i] + bias[i];
        }
        if (experts.groups() > 1) {
            leaveBestGroups();
        }
        Arrays.fill(taken, false);
        for (int i = 0; i < experts.used(); i++) {
            taken[best(choice, taken)] = true;
        }
        double sum = 0;
        int next = to;
        for (int i = 0; i < weight.length; i++) {
            if (taken[i]) {
                chosen[next] = i;
                weights[next++] = weight[i];
                sum += weight[i];
            }
        }
        double factor = experts.normalised() ? experts.scale() / (sum + 1e-20) : experts.scale();
        for (int i = to; i < next; i++) {
            weights[i] = (float) (weights[i] * factor);
        }
    }

    private void softmax(float[] logits, int at) {
        float maximum = Float.NEGATIVE_INFINITY;
        for (int i = 0; i < weight.length; i++) {
            maximum = Math.max(maximum, logits[at + i]);
        }
        double sum = 0;
        for (int i = 0; i < weight.length; i++) {
            weight[i] = Exponential.exp(logits[at + i] - maximum);
            sum += weight[i];
        }
        for (int i = 0; i < weight.length; i++) {
            weight[i] = (float) (weight[i] / sum);
        }
    }

    /// Makes the experts of all other groups impossible to choose.
    private void leaveBestGroups() {
        int size = experts.count() / experts.groups();
        for (int group = 0; group < groupScore.length; group++) {
            float first = Float.NEGATIVE_INFINITY;
            float second = Float.NEGATIVE_INFINITY;
            for (int i = group * size; i < (group + 1) * size; i++) {
                second = Math.max(second, Math.min(first, choice[i]));
                first = Math.max(first, choice[i]);
            }
            groupScore[group] = switch (experts.routing()) {
                case SOFTMAX -> first;
                case BIASED_SIGMOID -> first + second;
            };
        }
        Arrays.fill(kept, false);
        for (int i = 0; i < experts.usedGroups(); i++) {
            kept[best(groupScore, kept)] = true;
        }
        for (int i = 0; i < choice.length; i++) {
            if (!kept[i / size]) {
                choice[i] = Float.NEGATIVE_INFINITY;
            }
        }
    }

    /// @param without these; one at least is left
    private static int best(float[] scores, boolean[] without) {
        int best = -1;
        for (int i = 0; i < scores.length; i++) {
            if (!without[i] && (best < 0 || scores[i] > scores[best])) {
                best = i;
            }
        }
        return best;
    }
}
