package io.penstock.model.sampling;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.util.Map;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/// A value that slipped through would make every probability NaN, far from whoever sent it.
class TestSamplingParameters {
    private static final Map<String, Function<Float, SamplingParameters>> FIELDS = Map.of(
            "temperature", value -> of(value, 1, 0, 1, 0, 0),
            "top_p", value -> of(1, value, 0, 1, 0, 0),
            "min_p", value -> of(1, 1, value, 1, 0, 0),
            "repetition_penalty", value -> of(1, 1, 0, value, 0, 0),
            "frequency_penalty", value -> of(1, 1, 0, 1, value, 0),
            "presence_penalty", value -> of(1, 1, 0, 1, 0, value));

    private static SamplingParameters of(
            float temperature, float topP, float minP, float repetition, float frequency, float presence) {
        return new SamplingParameters(temperature, topP, 0, minP, repetition, frequency, presence, Map.of(), 0);
    }

    static Stream<Arguments> bounds() {
        float tiny = Float.MIN_NORMAL;
        return Stream.of(
                Arguments.of("temperature", 0f, 2f),
                Arguments.of("top_p", tiny, 1f),
                Arguments.of("min_p", 0f, 1f),
                Arguments.of("repetition_penalty", tiny, 2f),
                Arguments.of("frequency_penalty", -2f, 2f),
                Arguments.of("presence_penalty", -2f, 2f));
    }

    @ParameterizedTest
    @MethodSource("bounds")
    void takesValuesUpToTheirBoundsAndNoneBeyond(String field, float least, float most) {
        Function<Float, SamplingParameters> make = FIELDS.get(field);
        for (float good : new float[] {least, most}) {
            assertThat(make.apply(good)).isNotNull();
        }
        for (float bad : new float[] {
            Math.nextDown(least), Math.nextUp(most), Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY
        }) {
            assertRefused(() -> make.apply(bad), field + " is " + bad);
        }
    }

    @Test
    void boundsTopKAndLogitBias() {
        assertRefused(() -> new SamplingParameters(1, 1, -1, 0, 1, 0, 0, Map.of(), 0), "top_k is -1");
        assertRefused(() -> biased(Map.of(5, 100.5f)), "logit_bias of token 5 is 100.5");
        assertRefused(() -> biased(Map.of(5, Float.NaN)), "logit_bias of token 5 is NaN");
        Map<Integer, Float> many = IntStream.rangeClosed(0, SamplingParameters.MAX_LOGIT_BIAS)
                .boxed()
                .collect(Collectors.toMap(Function.identity(), id -> 1f));
        assertRefused(() -> biased(many), "logit_bias has 1025 entries, at most 1024");
        assertThat(biased(Map.of(5, -100f)).logitBias()).containsEntry(5, -100f);
    }

    @Test
    void knowsTheVocabularyOfABias() {
        assertThat(biased(Map.of(9, 1f)).checkVocabulary(10).logitBias()).hasSize(1);
        assertRefused(() -> biased(Map.of(10, 1f)).checkVocabulary(10), "logit_bias names token 10");
        assertRefused(() -> biased(Map.of(-1, 1f)).checkVocabulary(10), "logit_bias names token -1");
    }

    private static SamplingParameters biased(Map<Integer, Float> bias) {
        return new SamplingParameters(1, 1, 0, 0, 1, 0, 0, bias, 0);
    }

    private static void assertRefused(Supplier<?> make, String message) {
        assertThatThrownBy(make::get)
                .isInstanceOfSatisfying(
                        PenstockException.class, e -> assertThat(e.category()).isEqualTo(ErrorCategory.BAD_INPUT))
                .hasMessageContaining(message);
    }
}
