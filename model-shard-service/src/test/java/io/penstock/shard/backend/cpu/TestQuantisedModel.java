package io.penstock.shard.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.model.checkpoint.Checkpoint;
import io.penstock.model.checkpoint.Checkpoints;
import io.penstock.model.checkpoint.LocalFiles;
import io.penstock.model.checkpoint.QuantisedCopy;
import io.penstock.model.checkpoint.TinyCheckpoints;
import io.penstock.model.config.ModelConfig;
import io.penstock.model.config.ModelConfig.Architecture;
import io.penstock.model.config.ModelConfig.RopeLayout;
import io.penstock.model.config.RopeScaling;
import io.penstock.model.tensor.DType;
import io.penstock.model.tensor.RankSlice;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.collective.LocalCollective;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// A quantised copy answers nearly as its original does: what the served model makes of the weights is what counts.
class TestQuantisedModel {
    private static final StepLimits LIMITS = new StepLimits(16, 1, 64, 64);
    private static final ModelConfig CONFIG = new ModelConfig(
            Architecture.QWEN2,
            3,
            128,
            256,
            4,
            2,
            32,
            131,
            512,
            1e-5f,
            10_000,
            RopeLayout.HALVES,
            new RopeScaling.None(),
            true,
            false);

    @TempDir
    private Path folder;

    @Test
    void answersNearlyAsItsOriginal() throws IOException {
        Path original = folder.resolve("original");
        TinyCheckpoints.writeFolder(original, CONFIG, DType.BF16, 1, 11);
        double[] exact = logprobs(original);
        for (Map.Entry<QuantisedCopy.Format, Double> bound : Map.of(
                        QuantisedCopy.Format.INT4, 0.35, QuantisedCopy.Format.FP8, 0.12)
                .entrySet()) {
            Path copy = folder.resolve(bound.getKey().name());
            QuantisedCopy.write(original, copy, bound.getKey(), true);
            double[] near = logprobs(copy);
            double square = 0;
            for (int i = 0; i < exact.length; i++) {
                square += (near[i] - exact[i]) * (near[i] - exact[i]);
            }
            double off = Math.sqrt(square / exact.length);
            // Not equal either, or it was not quantised.
            assertThat(off).as("%s", bound.getKey()).isBetween(1e-4, bound.getValue());
        }
    }

    /// Of the likeliest token after each of 24 prompts, in nats.
    private static double[] logprobs(Path model) throws IOException {
        Checkpoint checkpoint = Checkpoints.open(model);
        double[] logprobs = new double[24];
        try (LocalFiles files = LocalFiles.at(model);
                CpuBackend backend = new CpuBackend(new CpuOptions(2, 1L << 26))) {
            backend.load(checkpoint, RankSlice.of(checkpoint.config(), 0, 1, 0, 1), files.paths(), bytes -> {});
            for (int i = 0; i < logprobs.length; i++) {
                backend.configure(LIMITS, new LocalCollective());
                SplittableRandom random = new SplittableRandom(i);
                int[] prompt =
                        IntStream.range(0, 20).map(n -> random.nextInt(131)).toArray();
                logprobs[i] = new StepDriver(backend, LIMITS)
                        .generate(0, prompt, 64, 1)
                        .logprobs()
                        .getFirst();
            }
        }
        return logprobs;
    }
}
