package io.penstock.shard.layers;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import io.penstock.model.PenstockException;
import io.penstock.model.config.ModelConfig;
import io.penstock.model.config.ModelConfig.Architecture;
import io.penstock.model.config.ModelConfig.RopeLayout;
import io.penstock.model.config.RopeScaling;
import org.junit.jupiter.api.Test;

class TestRopeFrequencies {
    private static final int PAIRS = 8;
    private static final double THETA = 10_000;
    private static final int TRAINED = 64;

    private static RopeFrequencies dynamic(int maxLength) {
        ModelConfig config = new ModelConfig(
                Architecture.QWEN2,
                1,
                2 * PAIRS,
                64,
                1,
                1,
                2 * PAIRS,
                32,
                4 * TRAINED,
                1e-6,
                THETA,
                RopeLayout.HALVES,
                new RopeScaling.Dynamic(4, TRAINED),
                true,
                true);
        return RopeFrequencies.of(config, null, maxLength);
    }

    /// By the definition of transformers: a new base, and all frequencies from it.
    private static double angle(int pair, int position, int length) {
        double size = 2 * PAIRS;
        double base = length <= TRAINED ? THETA : THETA * Math.pow(4.0 * length / TRAINED - 3, size / (size - 2));
        return position * Math.pow(base, -2 * pair / size);
    }

    private static void assertTurned(int position, int promptLength, int length) {
        float[] rotation = new float[2 * PAIRS];
        dynamic(4 * TRAINED).rotation(position, promptLength, rotation, 0);
        for (int pair = 0; pair < PAIRS; pair++) {
            assertThat((double) rotation[pair]).isCloseTo(Math.cos(angle(pair, position, length)), within(1e-6));
            assertThat((double) rotation[PAIRS + pair])
                    .isCloseTo(Math.sin(angle(pair, position, length)), within(1e-6));
        }
    }

    @Test
    void aPromptTurnsByItsWholeLengthAndWhatIsGeneratedByItsOwn() {
        assertTurned(5, 40, TRAINED);
        assertTurned(TRAINED - 1, 40, TRAINED);
        assertTurned(TRAINED, 40, TRAINED + 1);
        assertTurned(5, 100, 100);
        assertTurned(99, 100, 100);
        assertTurned(150, 100, 151);
    }

    @Test
    void oneTableForAllSequencesServesTheContextOfTheTraining() {
        assertThat(dynamic(TRAINED).frequency(1)).isEqualTo(angle(1, 1, TRAINED));
        RopeFrequencies longer = dynamic(TRAINED + 1);
        assertThatThrownBy(() -> longer.frequency(1))
                .isInstanceOf(PenstockException.class)
                .hasMessageContaining("trained context of 64 tokens")
                .hasMessageContaining("without rope_scaling");
    }
}
