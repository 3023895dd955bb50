package io.penstock.model.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.config.ModelConfig.Architecture;
import io.penstock.model.config.ModelConfig.RopeLayout;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class TestModelConfig {
    private static ModelConfig of(int layers, int hidden, int intermediate, int heads, int kvHeads, int headSize) {
        return of(layers, hidden, intermediate, heads, kvHeads, headSize, 100, 100, 1e-5, 1e4);
    }

    private static ModelConfig of(
            int layers,
            int hidden,
            int intermediate,
            int heads,
            int kvHeads,
            int headSize,
            int vocabulary,
            int context,
            double epsilon,
            double theta) {
        return new ModelConfig(
                Architecture.QWEN2,
                layers,
                hidden,
                intermediate,
                heads,
                kvHeads,
                headSize,
                vocabulary,
                context,
                epsilon,
                theta,
                RopeLayout.HALVES,
                new RopeScaling.None(),
                true,
                false);
    }

    @Test
    void countsWhatATokenKeeps() {
        assertThat(of(2, 64, 64, 4, 2, 16).kvSize()).isEqualTo(32);
    }

    @ParameterizedTest
    @CsvSource({
        "0, 64, 64, 4, 2, 16, layers is 0",
        "1001, 64, 64, 4, 2, 16, layers is 1001",
        "2, 0, 64, 4, 2, 16, hidden size is 0",
        "2, 1048577, 64, 4, 2, 16, hidden size is 1048577",
        "2, 64, -1, 4, 2, 16, intermediate size is -1",
        "2, 64, 4194305, 4, 2, 16, intermediate size is 4194305",
        "2, 64, 64, 0, 2, 16, attention heads is 0",
        "2, 64, 64, 4, 0, 16, key/value heads is 0",
        "2, 64, 64, 4, 8, 16, key/value heads is 8",
        "2, 64, 64, 4, 3, 16, 4 attention heads do not divide over 3",
        "2, 64, 64, 4, 2, 15, head size 15 is odd",
        "2, 64, 64, 4, 2, 4097, head size is 4097",
    })
    void refusesSizesThatCannotBe(
            int layers, int hidden, int intermediate, int heads, int kvHeads, int headSize, String message) {
        assertRefused(() -> of(layers, hidden, intermediate, heads, kvHeads, headSize), message);
    }

    @ParameterizedTest
    @CsvSource({
        "0, 100, 1e-5, 1e4, vocabulary size is 0",
        "16777217, 100, 1e-5, 1e4, vocabulary size is 16777217",
        "100, 0, 1e-5, 1e4, context length is 0",
        "100, 100, 0, 1e4, RMS norm epsilon 0.0",
        "100, 100, NaN, 1e4, RMS norm epsilon NaN",
        "100, 100, 1e-5, 1, rotary base 1.0",
        "100, 100, 1e-5, NaN, rotary base NaN",
        "100, 100, 1e-5, Infinity, rotary base Infinity",
    })
    void refusesConstantsThatCannotBe(int vocabulary, int context, double epsilon, double theta, String message) {
        assertRefused(() -> of(2, 64, 64, 4, 2, 16, vocabulary, context, epsilon, theta), message);
    }

    @Test
    void refusesScalingsThatCannotBe() {
        assertRefused(() -> new RopeScaling.Linear(0), "linear factor is 0.0");
        assertRefused(() -> new RopeScaling.Linear(Double.NaN), "linear factor is NaN");
        assertRefused(() -> new RopeScaling.Llama3(8, 4, 4, 8192), "does not exceed the low one");
        assertRefused(() -> new RopeScaling.Llama3(8, 1, 4, 0), "original context length is 0");
        assertRefused(() -> new RopeScaling.Yarn(0.5, 1, 32, 1, 4096), "yarn factor is 0.5");
        assertRefused(() -> new RopeScaling.Yarn(4, 1, 1, 32, 4096), "does not exceed beta_slow");
        assertThat(new RopeScaling.Yarn(4, 1, 32, 1, 32768).stretchedContextLength())
                .isEqualTo(131072);
    }

    private static void assertRefused(Supplier<?> make, String message) {
        assertThatThrownBy(make::get)
                .isInstanceOfSatisfying(
                        PenstockException.class, e -> assertThat(e.category()).isEqualTo(ErrorCategory.CORRUPT))
                .hasMessageContaining(message);
    }
}
