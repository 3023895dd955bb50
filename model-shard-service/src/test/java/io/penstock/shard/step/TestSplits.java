package io.penstock.shard.step;

import static io.penstock.shard.step.Steps.admission;
import static io.penstock.shard.step.Steps.row;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.penstock.api.inference.Token;
import io.penstock.api.shard.Sampled;
import io.penstock.api.shard.Step;
import io.penstock.shard.RealModel;
import io.penstock.shard.backend.cpu.CpuBackend;
import io.penstock.shard.backend.cpu.CpuOptions;
import io.penstock.shard.weights.LocalWeights;
import io.penstock.shard.weights.Weights;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/// The real model, split over ranks that meet over real sockets, says what it says whole.
class TestSplits {
    private static final Weights WEIGHTS = LocalWeights.open(RealModel.path(), "r");
    // "The capital of France is"
    private static final int[] PROMPT = {504, 3575, 282, 4649, 314};
    private static final int GENERATED = 10;

    @Test
    void splitsAgreeWithTheWhole() {
        List<Token> whole = generate(1, 1);
        for (int[] split : new int[][] {{2, 1}, {1, 3}, {3, 2}}) {
            List<Token> parts = generate(split[0], split[1]);
            for (int i = 0; i < GENERATED; i++) {
                assertThat(parts.get(i).getId())
                        .as("token %d of %d x %d", i, split[0], split[1])
                        .isEqualTo(whole.get(i).getId());
                assertThat(parts.get(i).getLogprob()).isCloseTo(whole.get(i).getLogprob(), within(1e-4f));
                for (int top = 0; top < 3; top++) {
                    assertThat(parts.get(i).getTop(top).getId())
                            .isEqualTo(whole.get(i).getTop(top).getId());
                    assertThat(parts.get(i).getTop(top).getLogprob())
                            .isCloseTo(whole.get(i).getTop(top).getLogprob(), within(1e-4f));
                }
            }
        }
    }

    // The prompt in two chunks; two steps in flight.
    private static List<Token> generate(int tpSize, int ppSize) {
        List<Step.Builder> steps = new ArrayList<>();
        steps.add(Step.newBuilder()
                .addAdmissions(admission(0, 40, PROMPT).setTopLogprobs(3))
                .addRows(row(0, 0, 3, false, 0, 1, 2, 3)));
        steps.add(Step.newBuilder().addRows(row(0, 3, 2, true)));
        for (int i = 1; i < GENERATED; i++) {
            steps.add(Step.newBuilder().addRows(row(0, 4 + i, 1, true)));
        }
        List<Token> tokens = new ArrayList<>();
        try (LoopGroup group =
                new LoopGroup(tpSize, ppSize, WEIGHTS, () -> new CpuBackend(new CpuOptions(1, 64 << 20)))) {
            group.form(1);
            for (int number = 1; number <= steps.size() + 1; number++) {
                if (number <= steps.size()) {
                    group.send(1, steps.get(number - 1).setNumber(number));
                }
                if (number >= 2) {
                    for (Sampled sampled : group.collect(1, number - 1)) {
                        tokens.add(sampled.getToken());
                    }
                }
            }
        }
        assertThat(tokens).hasSize(GENERATED);
        return tokens;
    }
}
