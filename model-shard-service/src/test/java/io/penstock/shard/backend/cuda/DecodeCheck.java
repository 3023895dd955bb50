package io.penstock.shard.backend.cuda;

import io.penstock.model.config.ModelConfig;
import io.penstock.model.config.RopeScaling;
import io.penstock.model.sampling.SamplingParameters;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.cuda.SequenceDriver.Sequence;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.function.Consumer;
import java.util.function.Function;

/// The persistent kernel against a kernel an operation, on the same random weights: every weight
/// format, one to sixteen sequences at mixed positions, contexts of one part and of many.
final class DecodeCheck {
    private final Function<CudaOptions, CudaBackend> backends;
    private final int maxStepTokens;
    private final int steps;
    private final Consumer<StepMemory> contexts;

    /// @param steps tokens that each sequence goes on with, one a step
    /// @param contexts makes keys and values up, so that all of a prompt but its last token is left out; or null
    DecodeCheck(
            Function<CudaOptions, CudaBackend> backends, int maxStepTokens, int steps, Consumer<StepMemory> contexts) {
        this.backends = backends;
        this.maxStepTokens = maxStepTokens;
        this.steps = steps;
        this.contexts = contexts;
    }

    static void run(WeightFormat format) {
        // Whichever way is quicker: both are to be seen.
        System.setProperty(StepTrials.ROWS_PROPERTY, "16");
        new DecodeCheck(CudaBackend::new, 512, 5, null).compareAll(format);
    }

    private void compareAll(WeightFormat format) {
        compare("wide", config(3_584, 18_944, 28, 4, 128, 2_000, true), format, new int[] {1, 2, 3, 8, 11, 16}, 700);
        compare("long", config(1_024, 2_816, 8, 2, 128, 1_000, false), format, new int[] {1, 3}, 9_000);
        compare("deep", config(8_192, 1_024, 64, 8, 128, 1_000, false), format, new int[] {1, 4}, 200);
        compare("small", config(896, 4_864, 14, 2, 64, 4_016, true), format, new int[] {1, 4, 7, 16}, 300);
        compare("odd", config(480, 1_216, 6, 6, 64, 1_003, false), format, new int[] {1, 5}, 90);
        compare("normed", normed(2_560, 4_096, 32, 8, 128), format, new int[] {1, 3, 8}, 500);
        compare("small normed", normed(1_024, 3_072, 16, 8, 64), format, new int[] {1, 5}, 200);
    }

    static ModelConfig config(
            int hidden, int intermediate, int heads, int kvHeads, int headSize, int vocabulary, boolean bias) {
        return new ModelConfig(
                bias ? ModelConfig.Architecture.QWEN2 : ModelConfig.Architecture.LLAMA,
                2,
                hidden,
                intermediate,
                heads,
                kvHeads,
                headSize,
                vocabulary,
                16_384,
                1e-6,
                1e6,
                bias ? ModelConfig.RopeLayout.HALVES : ModelConfig.RopeLayout.INTERLEAVED,
                new RopeScaling.None(),
                bias,
                false);
    }

    /// As Qwen3 is: each head's query and key normalised.
    static ModelConfig normed(int hidden, int intermediate, int heads, int kvHeads, int headSize) {
        return new ModelConfig(
                ModelConfig.Architecture.QWEN3,
                2,
                hidden,
                intermediate,
                heads,
                kvHeads,
                headSize,
                1_000,
                16_384,
                1e-6,
                1e6,
                ModelConfig.RopeLayout.HALVES,
                new RopeScaling.None(),
                false,
                false,
                true,
                Optional.empty(),
                Optional.empty());
    }

    /// @param counts of sequences
    /// @param longest context
    void compare(String name, ModelConfig config, WeightFormat format, int[] counts, int longest) {
        List<List<float[]>> expected = logits(config, format, counts, longest, false);
        List<List<float[]>> actual = logits(config, format, counts, longest, true);
        for (int c = 0; c < counts.length; c++) {
            double worst = 0;
            for (int i = 0; i < expected.get(c).size(); i++) {
                double e = GpuCheck.error(actual.get(c).get(i), expected.get(c).get(i));
                // Not a number is never good.
                if (!(e <= worst)) {
                    worst = e;
                }
            }
            // Sums in another order, vectors rounded before they are divided instead of after,
            // weights not rounded to bf16.
            GpuCheck.report(
                    worst < 0.012,
                    "persistent %s %s, %d sequences: %.2e from a kernel an operation",
                    name,
                    format,
                    counts[c],
                    worst);
        }
    }

    private List<List<float[]>> logits(
            ModelConfig config, WeightFormat format, int[] counts, int longest, boolean persistent) {
        CudaOptions options = new CudaOptions(
                0,
                0.2,
                new CudaOptions.Computing(false, persistent, false, CudaOptions.Activations.BF16),
                CudaOptions.Meeting.AUTO,
                Optional.of(new DeviceWeights.Formats(format, format)));
        List<List<float[]>> all = new ArrayList<>();
        try (CudaBackend backend = backends.apply(options)) {
            backend.loadRandom(ShardShape.of(config, SequenceDriver.whole(config)));
            for (int count : counts) {
                // More sequences than that may go the other way: vectors of bf16, and slots of int4, leave less room.
                int served = !persistent ? 0 : format.hasRows() && format != WeightFormat.BF16 ? 16 : 8;
                all.add(logits(backend, config, count, longest, served));
            }
        }
        return all;
    }

    private List<float[]> logits(CudaBackend backend, ModelConfig config, int count, int longest, int served) {
        // Without a library, a kernel an operation takes no more: then sequences take turns, and a second turn would
        // give them other blocks, of other contents.
        boolean turns = contexts != null && count > 8;
        int steps = turns ? 0 : this.steps;
        int tokens = contexts != null && served == 0 ? Math.min(8, maxStepTokens) : maxStepTokens;
        SequenceDriver driver = new SequenceDriver(backend, new StepLimits(16, 16, tokens, longest + steps + 2));
        if (count <= served
                && (backend.decodeKernel() == null || !backend.decodeKernel().serves(count))) {
            GpuCheck.report(false, "the persistent kernel does not serve %d sequences", count);
        }
        Random random = new Random(count);
        List<Sequence> sequences = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            int length = i == 0 ? longest : 1 + random.nextInt(i % 3 == 0 ? longest : Math.min(longest, 80));
            int[] prompt = random.ints(length, 0, config.vocabularySize()).toArray();
            int[] forced = random.ints(steps, 0, config.vocabularySize()).toArray();
            sequences.add(new Sequence(prompt, forced, steps + 1));
            driver.admit(i, sequences.get(i), SamplingParameters.greedy(), -1);
        }
        if (contexts != null) {
            contexts.accept(backend.memory());
            sequences.forEach(sequence -> sequence.computed = sequence.prompt.length - 1);
        }
        driver.run(sequences, true, 1);
        List<float[]> all = new ArrayList<>();
        sequences.forEach(sequence -> all.addAll(sequence.logits));
        return all;
    }
}
