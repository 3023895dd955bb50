package io.penstock.shard.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.model.tensor.RankSlice;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.cpu.StepDriver.Generation;
import io.penstock.shard.collective.LocalCollective;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// A user's answer must not depend on who else is being served: log-probabilities are the same to the
/// last bit however the prompt was cut, whatever shared the steps, and on however many threads.
class TestBatchInvariance {
    private static final StepLimits LIMITS = new StepLimits(16, 16, 128, 256);
    private static final int TOKENS = 8;
    private static final List<GreedyYardstick> PROMPTS = GreedyYardstick.all().subList(0, 8);

    private static RealModel model;
    private static CpuBackend backend;
    private static List<Generation> alone;

    @BeforeAll
    static void generateAlone() {
        model = RealModel.open();
        backend = backend(2);
        backend.configure(LIMITS, new LocalCollective());
        StepDriver driver = new StepDriver(backend, LIMITS);
        alone = new ArrayList<>();
        for (GreedyYardstick prompt : PROMPTS) {
            alone.add(driver.generate(0, prompt.prompt(), 128, TOKENS));
        }
    }

    @AfterAll
    static void close() {
        backend.close();
    }

    private static CpuBackend backend(int threads) {
        CpuBackend made = new CpuBackend(new CpuOptions(threads, 1L << 28));
        RankSlice slice = RankSlice.of(model.checkpoint().config(), 0, 1, 0, 1);
        made.load(model.checkpoint(), slice, model.files(), bytes -> {});
        return made;
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 3, 7, 16, 64})
    void chunkSizeChangesNothing(int chunk) {
        backend.configure(LIMITS, new LocalCollective());
        StepDriver driver = new StepDriver(backend, LIMITS);
        assertThat(driver.generate(0, PROMPTS.get(2).prompt(), chunk, TOKENS)).isEqualTo(alone.get(2));
    }

    @Test
    void companyChangesNothing() {
        backend.configure(LIMITS, new LocalCollective());
        StepDriver driver = new StepDriver(backend, LIMITS);
        int[] chunks = {5, 9, 64, 13, 1, 30, 2, 17};
        // Sixteen sequences that begin one step after the other:
        // decode rows beside prefill chunks of all sizes.
        for (int step = 0; step < 16 + 48 + TOKENS; step++) {
            driver.begin();
            for (int slot = 0; slot < 16 && slot <= step; slot++) {
                if (slot == step) {
                    driver.admit(slot, PROMPTS.get(slot % 8).prompt());
                }
                if (driver.generation(slot).generated().size() < TOKENS && driver.room() > 0) {
                    driver.row(slot, Math.min(driver.room(), chunks[slot % 8]));
                }
            }
            if (driver.rows() > 0) {
                driver.run();
            }
        }
        for (int slot = 0; slot < 16; slot++) {
            assertThat(driver.generation(slot)).as("slot %d", slot).isEqualTo(alone.get(slot % 8));
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 3})
    void threadsChangeNothing(int threads) {
        try (CpuBackend other = backend(threads)) {
            other.configure(LIMITS, new LocalCollective());
            StepDriver driver = new StepDriver(other, LIMITS);
            assertThat(driver.generate(0, PROMPTS.get(0).prompt(), 128, TOKENS)).isEqualTo(alone.get(0));
        }
    }
}
