package io.penstock.shard.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.penstock.model.tensor.RankSlice;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.cpu.StepDriver.Generation;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;

/// A user may split a model over any number of ranks that it divides into, evenly or not,
/// and gets the same answers.
class TestSplitModel {
    private static final StepLimits LIMITS = new StepLimits(16, 3, 128, 256);
    private static final int TOKENS = 8;

    @Test
    void everySplitGivesTheSameTokens() throws InterruptedException, ExecutionException {
        List<Generation> whole = generate(1, 1);
        for (int tp = 1; tp <= 3; tp++) {
            for (int pp = 1; pp <= 3; pp++) {
                if (tp * pp > 1) {
                    assertSame(whole, generate(tp, pp), tp == 1, "tensor parallel %d, %d stages".formatted(tp, pp));
                }
            }
        }
        // Two ranks have the first of three key/value heads, and part its query heads into two and one.
        assertSame(whole, generate(4, 1), false, "more ranks than key/value heads");
    }

    private static void assertSame(List<Generation> whole, List<Generation> split, boolean sameSums, String what) {
        for (int i = 0; i < whole.size(); i++) {
            assertSame(whole.get(i), split.get(i), sameSums, what);
        }
    }

    private static void assertSame(Generation whole, Generation split, boolean sameSums, String what) {
        assertThat(split.generated()).as(what).isEqualTo(whole.generated());
        for (int i = 0; i < whole.logprobs().size(); i++) {
            // Stages do the same sums in the same order; tensor-parallel ranks add partial sums.
            float tolerance = sameSums ? 0 : 1e-4f;
            assertThat(split.logprobs().get(i))
                    .as(what)
                    .isCloseTo(whole.logprobs().get(i), within(tolerance));
        }
    }

    /// Runs all ranks of a group, each with its own step loop, over the same steps.
    private static List<Generation> generate(int tp, int pp) throws InterruptedException, ExecutionException {
        RealModel model = RealModel.open();
        LocalGroup group = new LocalGroup(tp, pp);
        try (ExecutorService ranks = Executors.newFixedThreadPool(tp * pp)) {
            List<Future<List<Generation>>> results = new ArrayList<>();
            for (int stage = 0; stage < pp; stage++) {
                for (int rank = 0; rank < tp; rank++) {
                    int tpRank = rank;
                    int ppStage = stage;
                    results.add(ranks.submit(() -> {
                        RankSlice slice = RankSlice.of(model.checkpoint().config(), tpRank, tp, ppStage, pp);
                        try (CpuBackend backend = new CpuBackend(new CpuOptions(1, 1L << 26))) {
                            backend.load(model.checkpoint(), slice, model.files(), bytes -> {});
                            backend.configure(LIMITS, group.rank(tpRank, ppStage));
                            return steps(new StepDriver(backend, LIMITS));
                        }
                    }));
                }
            }
            List<Generation> sampled = null;
            for (int i = 0; i < results.size(); i++) {
                List<Generation> result = results.get(i).get();
                if (i == (pp - 1) * tp) {
                    sampled = result;
                } else {
                    assertThat(result)
                            .as("only rank 0 of the last stage samples")
                            .allMatch(generation -> generation.generated().isEmpty());
                }
            }
            return sampled;
        }
    }

    // Three sequences that begin at different steps, in chunks, so that steps mix prefill and decode.
    private static List<Generation> steps(StepDriver driver) {
        List<GreedyYardstick> prompts = GreedyYardstick.all().subList(0, 3);
        for (int step = 0; step < TOKENS + 4; step++) {
            driver.begin();
            for (int slot = 0; slot < prompts.size() && slot <= step; slot++) {
                if (slot == step) {
                    driver.admit(slot, prompts.get(slot).prompt());
                }
                driver.row(slot, 30);
            }
            driver.run();
        }
        return List.of(driver.generation(0), driver.generation(1), driver.generation(2));
    }
}
