package io.penstock.shard.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Random;
import java.util.function.BiConsumer;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/// What `bench/gpu/run.sh` checks on a GPU, on shapes that are small enough for an interpreter: a kernel that computes
/// something else, that reads what is not there yet or writes where it must not would be met before any GPU is.
class TestInterpretedKernels {
    private static final int MULTIPROCESSORS = 4;
    /// Of the order in which blocks, warps and copies come: another one may find what this does not.
    private static final long SEED = Long.getLong("penstock.ptx.seed", 1);

    @BeforeAll
    static void haveKernels() {
        InterpretedDevice.requireKernels();
    }

    private static void check(int seed, BiConsumer<CudaDevice, CudaModules> checks) {
        int before = GpuCheck.failures();
        try (InterpretedDevice device = new InterpretedDevice(MULTIPROCESSORS, seed);
                CudaModules modules = device.modules()) {
            checks.accept(device, modules);
        }
        assertThat(GpuCheck.failures() - before).as("findings, printed above").isZero();
    }

    @Test
    void storedValuesAreConverted() {
        check(1, KernelCheck::elements);
    }

    @Test
    void manyVectorsAreMultiplied() {
        check(2, (device, modules) -> ProductCheck.run(device, modules, new int[] {5, 9, 100}, 528));
    }

    @Test
    void whatIsBetweenProductsIsComputed() {
        check(4, SmallCheck::run);
    }

    @Test
    void logitsAreSampled() {
        check(3, (device, modules) -> KernelCheck.sampling(device, modules, 700, 2, 3));
    }

    @Test
    void logitsThatAreNearlyAlikeAreSampled() {
        check(3, (device, modules) -> KernelCheck.sampling(device, modules, 1_502, 1, 0.003));
    }

    @Test
    void promptsAttend() {
        check(3 + (int) SEED, PromptCheck::compare);
    }

    /// One kernel or many, for steps that follow contexts which nobody computed: so these can be long.
    @ParameterizedTest
    @EnumSource(
            value = WeightFormat.class,
            names = {"BF16", "FP8_BLOCKS", "INT4_ZEROS"})
    void aDecodeStepIsOneKernelWhateverTheContexts(WeightFormat format) {
        int before = GpuCheck.failures();
        DecodeCheck check = new DecodeCheck(
                options -> new CudaBackend(options, new InterpretedDevice(5, SEED).modules()),
                8,
                1,
                TestInterpretedKernels::makeUp);
        // One: the output product joins the context's parts. Two: of one row only. Five: the last block to arrive does.
        check.compare("biased", DecodeCheck.config(256, 640, 6, 2, 64, 500, true), format, new int[] {1, 5}, 700);
        check.compare("one head", DecodeCheck.config(128, 1_792, 2, 1, 64, 200, false), format, new int[] {2}, 300);
        assertThat(GpuCheck.failures() - before).as("findings, printed above").isZero();
    }

    /// The same in earnest, for an afternoon: `-Dpenstock.ptx.long=true`.
    @ParameterizedTest
    @EnumSource(WeightFormat.class)
    @EnabledIfSystemProperty(named = "penstock.ptx.long", matches = "true")
    void decodeStepsOfAllShapes(WeightFormat format) {
        int before = GpuCheck.failures();
        // More bf16 vectors go to products that no interpreter has.
        int most = format == WeightFormat.BF16 ? 8 : 16;
        for (int blocks : new int[] {3, 8}) {
            DecodeCheck check = new DecodeCheck(
                    options -> new CudaBackend(options, new InterpretedDevice(blocks, SEED + blocks).modules()),
                    16,
                    1,
                    TestInterpretedKernels::makeUp);
            check.compare("odd", DecodeCheck.config(480, 1_216, 6, 6, 64, 1_003, false), format, new int[] {1, 5}, 90);
            check.compare(
                    "small normed", DecodeCheck.normed(1_024, 1_536, 8, 4, 64), format, new int[] {3, most}, 1_300);
            check.compare(
                    "deep",
                    DecodeCheck.config(2_048, 256, 16, 2, 128, 600, false),
                    format,
                    new int[] {2, most - 3},
                    400);
            check.compare(
                    "small",
                    DecodeCheck.config(896, 2_432, 14, 2, 64, 2_016, true),
                    format,
                    new int[] {1, 4, most},
                    300);
            check.compare("whole", DecodeCheck.config(256, 256, 4, 1, 64, 100, false), format, new int[] {8}, 5_000);
        }
        assertThat(GpuCheck.failures() - before).as("findings, printed above").isZero();
    }

    private static void makeUp(StepMemory memory) {
        MemorySegment cache = InterpretedDevice.memory(memory.cache(), 2 * memory.cacheHalf());
        Random random = new Random(11);
        for (long i = 0; i < memory.cacheHalf(); i++) {
            float value = (float) random.nextGaussian();
            cache.setAtIndex(ValueLayout.JAVA_SHORT, i, (short) (Float.floatToRawIntBits(value) >>> 16));
        }
    }
}
