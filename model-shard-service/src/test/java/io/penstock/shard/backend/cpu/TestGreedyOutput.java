package io.penstock.shard.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.model.tensor.RankSlice;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.collective.LocalCollective;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

/// Without this a user could get another model's answers: the real model's greedy tokens must be those
/// of plain float32 arithmetic on the dequantised weights, up to where that itself is undecided.
class TestGreedyOutput {
    private static final double UNDECIDED = 1e-3;

    @Test
    void equalsFloat32Arithmetic() {
        RealModel model = RealModel.open();
        StepLimits limits = new StepLimits(16, 2, 512, 1_024);
        try (CpuBackend backend = new CpuBackend(new CpuOptions(2, 1L << 28))) {
            backend.load(
                    model.checkpoint(), RankSlice.of(model.checkpoint().config(), 0, 1, 0, 1), model.files(), b -> {});
            for (GreedyYardstick yardstick : GreedyYardstick.all()) {
                backend.configure(limits, new LocalCollective());
                int decided = 0;
                while (decided < yardstick.gaps().length && yardstick.gaps()[decided] >= UNDECIDED) {
                    decided++;
                }
                List<Integer> generated = new StepDriver(backend, limits)
                        .generate(0, yardstick.prompt(), 512, yardstick.greedy().length)
                        .generated();
                assertThat(generated.subList(0, decided))
                        .as(yardstick.name())
                        .containsExactly(Arrays.stream(yardstick.greedy())
                                .limit(decided)
                                .boxed()
                                .toArray(Integer[]::new));
            }
        }
    }
}
