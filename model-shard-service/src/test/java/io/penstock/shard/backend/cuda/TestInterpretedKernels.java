package io.penstock.shard.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.function.BiConsumer;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/// What `bench/gpu/run.sh` checks on a GPU, on shapes that are small enough for an interpreter: a kernel that computes
/// something else, that reads what is not there yet or writes where it must not would be met before any GPU is.
class TestInterpretedKernels {
    private static final int MULTIPROCESSORS = 4;

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
        check(2, (device, modules) -> ProductCheck.run(device, modules, new int[] {9, 33, 100}, 1_168));
    }

    @Test
    void logitsAreSampled() {
        check(3, (device, modules) -> KernelCheck.sampling(device, modules, 1_000));
    }

    @ParameterizedTest
    @EnumSource(WeightFormat.class)
    void aDecodeStepIsOneKernel(WeightFormat format) {
        DecodeCheck check = new DecodeCheck(
                options -> new CudaBackend(options, new InterpretedDevice(3, format.ordinal()).modules()), 8, 2);
        int before = GpuCheck.failures();
        check.compare(
                "biased", DecodeCheck.config(256, 512, 6, 2, 64, 500, true), format, new int[] {1, 2, 8}, 150);
        check.compare("wide heads", DecodeCheck.config(512, 384, 4, 2, 128, 300, false), format, new int[] {1, 3}, 90);
        assertThat(GpuCheck.failures() - before).as("findings, printed above").isZero();
    }
}
