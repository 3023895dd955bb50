package io.penstock.shard.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.model.config.ModelConfig;
import io.penstock.model.sampling.SamplingParameters;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.cuda.SequenceDriver.Sequence;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.function.DoubleUnaryOperator;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/// Whole models by their kernels, interpreted, against the same in plain Java: prompts in chunks and tokens one by one,
/// several sequences in a step.
class TestInterpretedModel {
    private static final int STEP_TOKENS = 8;
    private static final int STEPS = 2;

    @BeforeAll
    static void haveKernels() {
        InterpretedDevice.requireKernels();
    }

    /// A kernel an operation; keys and values in both formats.
    @ParameterizedTest
    @EnumSource(CudaOptions.Kv.class)
    void everyOperationIsAKernel(CudaOptions.Kv kv) {
        compare(DecodeCheck.config(256, 320, 6, 2, 64, 400, true), kv, false, 40);
        compare(DecodeCheck.normed(256, 320, 8, 4, 128), kv, false, 70);
    }

    @ParameterizedTest
    @ValueSource(ints = {64, 128})
    void aStepIsOneKernel(int headSize) {
        compare(DecodeCheck.config(256, 320, 6, 2, headSize, 400, true), CudaOptions.Kv.BF16, true, 70);
        compare(DecodeCheck.normed(384, 352, 7, 1, headSize), CudaOptions.Kv.BF16, true, 40);
    }

    private static void compare(ModelConfig config, CudaOptions.Kv kv, boolean persistent, int longest) {
        CudaOptions.Computing computing =
                new CudaOptions.Computing(false, persistent, false, CudaOptions.Activations.BF16, kv);
        CudaOptions options = new CudaOptions(
                0, 0.9, computing, CudaOptions.Meeting.AUTO, Optional.of(DeviceWeights.Formats.WIDE));
        try (CudaBackend backend =
                new CudaBackend(options, new InterpretedDevice(3, config.headSize()).modules())) {
            backend.loadRandom(ShardShape.of(config, SequenceDriver.whole(config)));
            Random random = new Random(9);
            List<Sequence> sequences = new ArrayList<>();
            for (int length : new int[] {longest, 1, 17}) {
                sequences.add(new Sequence(
                        random.ints(length, 0, config.vocabularySize()).toArray(),
                        random.ints(STEPS, 0, config.vocabularySize()).toArray(),
                        STEPS + 1));
            }
            SequenceDriver driver = new SequenceDriver(
                    backend, new StepLimits(16, sequences.size(), STEP_TOKENS, longest + STEPS + 2));
            assertThat(backend.decodeKernel() != null).isEqualTo(persistent);
            for (int i = 0; i < sequences.size(); i++) {
                driver.admit(i, sequences.get(i), SamplingParameters.greedy(), -1);
            }
            driver.run(sequences, true, 1);
            DoubleUnaryOperator kept = switch (kv) {
                case BF16 -> value -> ScalarFormats.toBf16((float) value);
                case FP8 -> value -> ScalarFormats.nearestFp8((float) value);
            };
            for (Sequence sequence : sequences) {
                PlainForward plain = new PlainForward(config, backend.weights(), kept);
                List<float[]> expected = new ArrayList<>();
                for (int i = 0; i < sequence.prompt.length + STEPS; i++) {
                    int after = i - sequence.prompt.length;
                    float[] logits = plain.next(after < 0 ? sequence.prompt[i] : sequence.forced[after]);
                    if (after >= -1) {
                        expected.add(logits);
                    }
                }
                for (int i = 0; i < expected.size(); i++) {
                    // Vectors are rounded to bf16, which an e4m3 key near the middle of two can make another one.
                    assertThat(GpuCheck.error(sequence.logits.get(i), expected.get(i)))
                            .as("%d tokens, then %d, head size %d, %s", sequence.prompt.length, i, config.headSize(), kv)
                            .isLessThan(kv == CudaOptions.Kv.BF16 ? 0.01 : 0.03);
                }
            }
        }
    }
}
