package io.penstock.shard.step;

import io.penstock.api.inference.Sampling;
import io.penstock.api.shard.Admission;
import io.penstock.api.shard.Row;
import java.util.Arrays;
import java.util.List;

/// Parts of steps as a scheduler sends them.
final class Steps {
    private Steps() {}

    static Admission.Builder admission(int slot, int maxLength, int... prompt) {
        return Admission.newBuilder()
                .setSlot(slot)
                .addAllTokens(Arrays.stream(prompt).boxed().toList())
                .setPromptLength(prompt.length)
                .setMaxLength(maxLength)
                .setSampling(Sampling.newBuilder().setTopP(1).setRepetitionPenalty(1));
    }

    static Row.Builder row(int slot, int start, int tokens, boolean samples, Integer... appended) {
        return Row.newBuilder()
                .setSlot(slot)
                .setStart(start)
                .setTokens(tokens)
                .setSamples(samples)
                .addAllAppendedBlocks(List.of(appended));
    }
}
