package io.penstock.shard.sampling;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.sampling.SamplingParameters;
import io.penstock.shard.backend.SlotSampling;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.StepOutput;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class TestSampler {
    private static final StepLimits LIMITS = new StepLimits(16, 4, 64, 128);
    private final StepOutput output = new StepOutput(4, 20);

    @Test
    void greedyTakesTheLowestIdOfEqualLogits() {
        assertThat(sampleOnce(SamplingParameters.greedy(), 1, 5, 3, 5, -2)).isEqualTo(1);
    }

    @Test
    void greedyIsDecidedByBiasAndPenalties() {
        assertThat(sampleOnce(parameters(0, 1, 0, 0, 1, 0, 0, Map.of(4, 8f), 0), 1, 5, 3, 5, -2))
                .isEqualTo(4);
        // Repetition divides what is positive and multiplies what is not, over the prompt too.
        Sampler sampler = new Sampler(3, LIMITS);
        sampler.admit(0, sampling(parameters(0, 1, 0, 0, 2, 0, 0, Map.of(), 0), new int[] {0}, 1, -1));
        assertThat(sample(sampler, 0, 0, 1.0f, 0.6f, 0.1f)).isEqualTo(1);
        assertThat(sample(sampler, 0, 1, -1.0f, -1.5f, -1.9f)).isEqualTo(2);
        // By now all were seen: halved alike.
        assertThat(sample(sampler, 0, 2, 1.0f, 0.6f, 0.1f)).isEqualTo(0);
    }

    @Test
    void frequencyAndPresenceCountGeneratedTokensOnly() {
        Sampler sampler = new Sampler(3, LIMITS);
        // Token 0 in the prompt costs nothing; token 1, generated twice before this rank took over, costs 2
        // x 0.3 + 0.5.
        sampler.admit(0, sampling(parameters(0, 1, 0, 0, 1, 0.3f, 0.5f, Map.of(), 0), new int[] {0, 1, 1}, 1, -1));
        assertThat(sample(sampler, 0, 2, 1.0f, 2.05f, 0.5f)).isEqualTo(0);
        // Token 0 now costs 0.8.
        assertThat(sample(sampler, 0, 3, 1.0f, 1.25f, 0.5f)).isEqualTo(2);
        // What another rank sampled counts too: token 1 costs 1.4.
        sampler.accept(0, 1);
        assertThat(sample(sampler, 0, 4, -5f, 2.0f, 1.5f)).isEqualTo(2);
    }

    @Test
    void aSlotAdmittedAnewForgetsItsPredecessor() {
        SamplingParameters penalised = parameters(0, 1, 0, 0, 1, 0, 2, Map.of(), 0);
        Sampler sampler = new Sampler(2, LIMITS);
        sampler.admit(3, sampling(penalised, new int[] {0}, 1, -1));
        assertThat(sample(sampler, 3, 0, 1f, 0f)).isEqualTo(0);
        assertThat(sample(sampler, 3, 1, 1f, 0f)).isEqualTo(1);
        sampler.admit(3, sampling(penalised, new int[] {0}, 1, -1));
        assertThat(sample(sampler, 3, 0, 1f, 0f)).isEqualTo(0);
    }

    @Test
    void stopTokensWaitForTheMinimumLength() {
        Sampler sampler = new Sampler(3, LIMITS);
        sampler.admit(0, new SlotSampling(SamplingParameters.greedy(), new int[] {0}, 1, new int[] {1, 2, 2}, 2, -1));
        assertThat(sample(sampler, 0, 0, 0f, 5f, 9f)).isEqualTo(0);
        assertThat(sample(sampler, 0, 1, 0f, 5f, 9f)).isEqualTo(0);
        assertThat(sample(sampler, 0, 2, 0f, 5f, 9f)).isEqualTo(2);
    }

    @Test
    void noParametersOfOneRequestFailTheStepOfAll() {
        Sampler sampler = new Sampler(3, LIMITS);
        // Nothing may be sampled: every token stops, and none may stop yet.
        sampler.admit(0, new SlotSampling(SamplingParameters.greedy(), new int[] {0}, 1, new int[] {0, 1, 2}, 9, 3));
        assertThat(sample(sampler, 0, 0, 0f, 5f, 9f)).isBetween(0, 2);
        sampler.admit(
                1,
                sampling(
                        parameters(Float.MIN_VALUE, Float.MIN_NORMAL, 1, 1, Float.MIN_NORMAL, -2, -2, Map.of(), 1),
                        new int[] {0, 1, 2},
                        1,
                        3));
        assertThat(sample(sampler, 1, 2, 3f, -5f, 9f)).isBetween(0, 2);
    }

    @Test
    void logitsAreLeftAsTheyWere() {
        Sampler sampler = new Sampler(4, LIMITS);
        SamplingParameters all = parameters(0.7f, 0.9f, 3, 0.01f, 1.3f, 0.5f, 0.5f, Map.of(1, -3f, 2, 4f), 9);
        sampler.admit(0, new SlotSampling(all, new int[] {0, 2, 2}, 1, new int[] {2, 3}, 5, 2));
        float[] logits = {7, 0.1f, 0.2f, 0.3f, 0.4f, 7};
        sampler.sample(0, 2, logits, 1, output);
        assertThat(logits).containsExactly(7, 0.1f, 0.2f, 0.3f, 0.4f, 7);
    }

    @Test
    void reportsTheModelsOwnDistribution() {
        Sampler sampler = new Sampler(4, LIMITS);
        sampler.admit(0, sampling(parameters(0, 1, 0, 0, 1, 0, 0, Map.of(3, 50f), 0), new int[] {0}, 1, 3));
        float[] logits = {1, 3, 3, 0.5f};
        output.count = 0;
        sampler.sample(0, 0, logits, 0, output);
        double logSum = Math.log(Math.exp(1) + 2 * Math.exp(3) + Math.exp(0.5));
        assertThat(output.token[0]).isEqualTo(3);
        assertThat(output.logprob[0]).isCloseTo((float) (0.5 - logSum), within(1e-6f));
        assertThat(output.topCount[0]).isEqualTo(3);
        assertThat(Arrays.copyOf(output.topTokens[0], 3)).containsExactly(1, 2, 0);
        assertThat(output.topLogprobs[0][0]).isCloseTo((float) (3 - logSum), within(1e-6f));
        assertThat(output.topLogprobs[0][2]).isCloseTo((float) (1 - logSum), within(1e-6f));
    }

    @Test
    void topLogprobsAgreeWithSorting() {
        Random random = new Random(5);
        for (int trial = 0; trial < 50; trial++) {
            int size = 1 + random.nextInt(300);
            float[] logits = logits(random, size);
            int wanted = random.nextInt(21);
            Sampler sampler = new Sampler(size, LIMITS);
            sampler.admit(0, sampling(SamplingParameters.greedy(), new int[] {0}, 1, wanted));
            output.count = 0;
            sampler.sample(0, 0, logits, 0, output);
            int[] expected = sorted(logits).limit(wanted).toArray();
            assertThat(Arrays.copyOf(output.topTokens[0], output.topCount[0])).containsExactly(expected);
            assertThat(output.token[0]).isEqualTo(sorted(logits).findFirst().getAsInt());
        }
    }

    /// The kept set is exactly that of the definition, over random parameters: drawn often enough, every
    /// kept token comes up as often as it should and no other does.
    @Test
    void drawsFromTheTruncatedDistribution() {
        Random random = new Random(11);
        for (int trial = 0; trial < 40; trial++) {
            int size = 2 + random.nextInt(12);
            float[] logits = logits(random, size);
            SamplingParameters p = parameters(
                    0.3f + random.nextFloat(),
                    random.nextBoolean() ? 1 : 0.05f + 0.95f * random.nextFloat(),
                    random.nextInt(size + 3),
                    random.nextBoolean() ? 0 : 0.5f * random.nextFloat(),
                    1,
                    0,
                    0,
                    Map.of(),
                    random.nextLong());
            double[] expected = distribution(logits, p);
            Sampler sampler = new Sampler(size, LIMITS);
            sampler.admit(0, sampling(p, new int[] {0}, 1, -1));
            int draws = 20_000;
            int[] seen = new int[size];
            for (int position = 0; position < draws; position++) {
                output.count = 0;
                sampler.sample(0, position, logits, 0, output);
                seen[output.token[0]]++;
            }
            for (int id = 0; id < size; id++) {
                double deviation = Math.sqrt(draws * expected[id] * (1 - expected[id]));
                assertThat((double) seen[id])
                        .as("token %d of %s under %s", id, Arrays.toString(logits), p)
                        .isCloseTo(draws * expected[id], within(5 * deviation + 1e-6));
            }
        }
    }

    @Test
    void aDrawDependsOnSeedAndPositionAlone() {
        Random random = new Random(3);
        float[] logits = logits(random, 200);
        SamplingParameters p = parameters(1, 0.95f, 50, 0, 1, 0, 0, Map.of(), 1234);
        Sampler first = new Sampler(200, LIMITS);
        first.admit(0, sampling(p, new int[] {0}, 1, -1));
        int[] whole = IntStream.range(0, 50)
                .map(position -> sample(first, 0, position, logits))
                .toArray();
        Sampler resumed = new Sampler(200, LIMITS);
        resumed.admit(2, sampling(p, new int[] {0, 1, 2}, 1, 5));
        for (int position = 49; position >= 20; position--) {
            assertThat(sample(resumed, 2, position, logits)).isEqualTo(whole[position]);
        }
        assertThat(Arrays.stream(whole).distinct().count()).isGreaterThan(5);
    }

    @Test
    void logitsThatAreNoDistributionFailTheStep() {
        for (float[] bad : new float[][] {
            {1, Float.NaN, 2},
            {Float.NaN, 1, 2},
            {1, 2, Float.NaN},
            {1, Float.POSITIVE_INFINITY, 2},
            {Float.NEGATIVE_INFINITY, Float.NEGATIVE_INFINITY, Float.NEGATIVE_INFINITY}
        }) {
            for (SamplingParameters p :
                    new SamplingParameters[] {SamplingParameters.greedy(), parameters(1, 1, 0, 0, 1, 0, 0, Map.of(), 0)
                    }) {
                Sampler sampler = new Sampler(3, LIMITS);
                sampler.admit(1, sampling(p, new int[] {0}, 1, 2));
                assertThatThrownBy(() -> sample(sampler, 1, 0, bad))
                        .isInstanceOfSatisfying(
                                PenstockException.class,
                                e -> assertThat(e.category()).isEqualTo(ErrorCategory.INTERNAL))
                        .hasMessageContaining("slot 1");
            }
        }
    }

    @Test
    void refusesWhatDoesNotFitTheVocabulary() {
        Sampler sampler = new Sampler(3, LIMITS);
        SamplingParameters greedy = SamplingParameters.greedy();
        assertThatThrownBy(() -> sampler.admit(0, sampling(greedy, new int[] {3}, 1, -1)))
                .hasMessageContaining("token 3");
        assertThatThrownBy(() -> sampler.admit(0, new SlotSampling(greedy, new int[] {0}, 1, new int[] {-1}, 0, -1)))
                .hasMessageContaining("stop token -1");
        assertThatThrownBy(() -> sampler.admit(
                        0, sampling(parameters(0, 1, 0, 0, 1, 0, 0, Map.of(7, 1f), 0), new int[] {0}, 1, -1)))
                .hasMessageContaining("token 7");
        assertThatThrownBy(() -> sampler.admit(0, sampling(greedy, new int[] {0}, 1, 21)))
                .hasMessageContaining("at most 20");
        assertThatThrownBy(() -> sampler.admit(0, sampling(greedy, new int[] {0}, 2, 1)))
                .hasMessageContaining("prompt length 2");
    }

    // The definition, by sorting: min-p, then top-k, then top-p on what is left.
    private static double[] distribution(float[] logits, SamplingParameters p) {
        double[] weights = new double[logits.length];
        int[] order = sorted(logits).toArray();
        for (int id : order) {
            weights[id] = Math.exp((logits[id] - (double) logits[order[0]]) / p.temperature());
        }
        int[] left = Arrays.stream(order)
                .filter(id -> weights[id] >= p.minP())
                .limit(p.topK() == 0 ? Integer.MAX_VALUE : p.topK())
                .toArray();
        double total = Arrays.stream(left).mapToDouble(id -> weights[id]).sum();
        Map<Integer, Double> nucleus = new HashMap<>();
        double reached = 0;
        for (int id : left) {
            if (!nucleus.isEmpty() && reached >= p.topP() * total) {
                break;
            }
            nucleus.put(id, weights[id]);
            reached += weights[id];
        }
        double[] probabilities = new double[logits.length];
        for (Map.Entry<Integer, Double> entry : nucleus.entrySet()) {
            probabilities[entry.getKey()] = entry.getValue() / reached;
        }
        return probabilities;
    }

    private static IntStream sorted(float[] logits) {
        return IntStream.range(0, logits.length)
                .boxed()
                .sorted(Comparator.comparingDouble((Integer id) -> -logits[id]).thenComparingInt(id -> id))
                .mapToInt(Integer::intValue);
    }

    // Whole tenths, so that equal logits occur.
    private static float[] logits(Random random, int size) {
        float[] logits = new float[size];
        for (int i = 0; i < size; i++) {
            logits[i] = Math.round(random.nextGaussian() * 15) / 10f;
        }
        return logits;
    }

    private int sampleOnce(SamplingParameters parameters, float... logits) {
        Sampler sampler = new Sampler(logits.length, LIMITS);
        sampler.admit(0, sampling(parameters, new int[] {0}, 1, -1));
        return sample(sampler, 0, 0, logits);
    }

    private int sample(Sampler sampler, int slot, int position, float... logits) {
        output.count = 0;
        sampler.sample(slot, position, logits, 0, output);
        assertThat(output.slot[0]).isEqualTo(slot);
        return output.token[0];
    }

    private static SlotSampling sampling(SamplingParameters p, int[] tokens, int promptLength, int topLogprobs) {
        return new SlotSampling(p, tokens, promptLength, new int[0], 0, topLogprobs);
    }

    private static SamplingParameters parameters(
            float temperature,
            float topP,
            int topK,
            float minP,
            float repetition,
            float frequency,
            float presence,
            Map<Integer, Float> bias,
            long seed) {
        return new SamplingParameters(temperature, topP, topK, minP, repetition, frequency, presence, bias, seed);
    }
}
