package io.penstock.shard.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.model.config.ModelConfig;
import io.penstock.model.sampling.SamplingParameters;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.cuda.SequenceDriver.Sequence;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.function.Consumer;
import java.util.function.DoubleUnaryOperator;
import java.util.function.ToLongFunction;
import java.util.stream.IntStream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/// Whole models by their kernels, interpreted, against the same in plain Java: prompts in chunks and tokens one by one,
/// several sequences in a step.
class TestInterpretedModel {
    private static final int STEP_TOKENS = 8;
    private static final int STEPS = 2;
    private static final int MULTIPROCESSORS = 3;
    /// As decode.cu has it.
    private static final int LAST_NUMBER = 0xf0000000;
    /// Of the order in which blocks, warps and copies come: another one may find what this does not.
    private static final long SEED = Long.getLong("penstock.ptx.seed", 1);

    @BeforeAll
    static void haveKernels() {
        InterpretedDevice.requireKernels();
    }

    /// A kernel an operation; keys and values in both formats.
    @ParameterizedTest
    @EnumSource(CudaOptions.Kv.class)
    void everyOperationIsAKernel(CudaOptions.Kv kv) {
        compare(DecodeCheck.config(128, 160, 6, 2, 64, 200, true), WeightFormat.BF16, kv, false, 70, 1, 9);
        compare(DecodeCheck.normed(160, 96, 4, 2, 128), WeightFormat.BF16, kv, false, 20, 1);
    }

    @ParameterizedTest
    @EnumSource(WeightFormat.class)
    void aStepIsOneKernel(WeightFormat format) {
        compare(DecodeCheck.config(128, 256, 6, 2, 64, 300, true), format, CudaOptions.Kv.BF16, true, 30, 1, 9);
        compare(DecodeCheck.normed(256, 128, 7, 1, 128), format, CudaOptions.Kv.BF16, true, 12, 3);
    }

    @Test
    void aStepOfManySequencesIsOneKernel() {
        int[] lengths = {1, 2, 3, 4, 5, 6, 7, 70};
        ModelConfig config = DecodeCheck.config(160, 224, 3, 3, 64, 203, false);
        compare(config, WeightFormat.BF16, CudaOptions.Kv.BF16, true, lengths);
        ModelConfig even = DecodeCheck.config(128, 256, 2, 1, 128, 200, false);
        compare(even, WeightFormat.INT4_ZEROS, CudaOptions.Kv.BF16, true, lengths);
    }

    /// A step that has the last numbers leaves nothing that the next ones could be mistaken for.
    @Test
    void numbersOfValuesBeginAnew() {
        ModelConfig config = DecodeCheck.config(128, 256, 2, 1, 64, 200, false);
        int[] left = new int[1];
        long[] values = new long[1];
        compare(
                config,
                WeightFormat.BF16,
                CudaOptions.Kv.BF16,
                true,
                memory -> {
                    phases(memory).set(ValueLayout.JAVA_INT, 0, LAST_NUMBER - 2);
                    lastVector(memory, config).fill((byte) 1);
                },
                memory -> {
                    left[0] = phases(memory).get(ValueLayout.JAVA_INT, 0);
                    values[0] = lastVector(memory, config)
                            .mismatch(MemorySegment.ofArray(
                                    new byte[(int) lastVector(memory, config).byteSize()]));
                },
                20);
        // The second step's phases are counted.
        assertThat(left[0]).isEqualTo(5 * config.layers() + 1);
        assertThat(values[0]).as("the first byte that is not zero").isEqualTo(-1);
    }

    private static MemorySegment phases(StepMemory memory) {
        return InterpretedDevice.memory(memory.decodeCounters() + 8, Integer.BYTES);
    }

    /// What attention leaves of a sixteenth sequence.
    private static MemorySegment lastVector(StepMemory memory, ModelConfig config) {
        long bytes = 4L * config.heads() * config.headSize();
        return InterpretedDevice.memory(memory.decodeNumbered() + 15 * bytes, bytes);
    }

    private static void compare(
            ModelConfig config, WeightFormat format, CudaOptions.Kv kv, boolean persistent, int... lengths) {
        compare(config, format, kv, persistent, _ -> {}, _ -> {}, lengths);
    }

    private static void compare(
            ModelConfig config,
            WeightFormat format,
            CudaOptions.Kv kv,
            boolean persistent,
            Consumer<StepMemory> before,
            Consumer<StepMemory> after,
            int... lengths) {
        CudaOptions.Computing computing =
                new CudaOptions.Computing(false, persistent, false, CudaOptions.Activations.BF16, kv);
        CudaOptions options = new CudaOptions(
                0, 0.9, computing, CudaOptions.Meeting.AUTO, Optional.of(new DeviceWeights.Formats(format, format)));
        try (CudaBackend backend =
                new CudaBackend(options, new InterpretedDevice(MULTIPROCESSORS, SEED + lengths[0]).modules())) {
            backend.loadRandom(ShardShape.of(config, SequenceDriver.whole(config)));
            Random random = new Random(9);
            List<Sequence> sequences = new ArrayList<>();
            for (int length : lengths) {
                sequences.add(new Sequence(
                        random.ints(length, 0, config.vocabularySize()).toArray(),
                        random.ints(STEPS, 0, config.vocabularySize()).toArray(),
                        STEPS + 1));
            }
            int longest = IntStream.of(lengths).max().orElseThrow();
            SequenceDriver driver =
                    new SequenceDriver(backend, new StepLimits(16, lengths.length, STEP_TOKENS, longest + STEPS + 2));
            assertThat(backend.decodeKernel() != null).isEqualTo(persistent);
            for (int i = 0; i < lengths.length; i++) {
                driver.admit(i, sequences.get(i), SamplingParameters.greedy(), -1);
            }
            before.accept(backend.memory());
            driver.run(sequences, true, 1);
            after.accept(backend.memory());
            Map<Matrix, Long> wide = new HashMap<>();
            for (Sequence sequence : sequences) {
                hold(backend, config, kv, sequence, matrix -> wide.computeIfAbsent(matrix, m -> widened(backend, m)));
            }
        }
    }

    /// Where a matrix is as bf16.
    private static long widened(CudaBackend backend, Matrix matrix) {
        if (matrix.format() == WeightFormat.BF16) {
            return matrix.address();
        }
        long to = backend.cudaDevice().allocate(matrix.wideBytes()).address();
        backend.cudaDevice()
                .launch(
                        backend.modules().kernel("weights", "expand"),
                        Launcher.Grid.of(16, 256),
                        matrix.address(),
                        matrix.scales(),
                        matrix.format().code(),
                        matrix.columns(),
                        0,
                        matrix.rows(),
                        to);
        return to;
    }

    private static void hold(
            CudaBackend backend,
            ModelConfig config,
            CudaOptions.Kv kv,
            Sequence sequence,
            ToLongFunction<Matrix> wide) {
        DoubleUnaryOperator kept = switch (kv) {
            case BF16 -> value -> ScalarFormats.toBf16((float) value);
            case FP8 -> value -> ScalarFormats.nearestFp8((float) value);
        };
        PlainForward plain = new PlainForward(config, backend.weights(), kept, wide);
        int prompt = sequence.prompt.length;
        for (int i = 0; i < prompt + STEPS; i++) {
            float[] expected = plain.next(i < prompt ? sequence.prompt[i] : sequence.forced[i - prompt]);
            if (i >= prompt - 1) {
                // Vectors are rounded to bf16, which an e4m3 key near the middle of two can make another one.
                assertThat(GpuCheck.error(sequence.logits.get(i - prompt + 1), expected))
                        .as("%d tokens, then %d, %s, keys and values %s", prompt, i - prompt + 1, config, kv)
                        .isLessThan(kv == CudaOptions.Kv.BF16 ? 0.01 : 0.03);
            }
        }
    }
}
