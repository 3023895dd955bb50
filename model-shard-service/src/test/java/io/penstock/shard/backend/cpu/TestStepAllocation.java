package io.penstock.shard.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import io.penstock.model.checkpoint.Checkpoint;
import io.penstock.model.checkpoint.Checkpoints;
import io.penstock.model.checkpoint.TinyCheckpoints;
import io.penstock.model.config.ModelConfig.Architecture;
import io.penstock.model.tensor.DType;
import io.penstock.model.tensor.RankSlice;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.collective.LocalCollective;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// A step that makes garbage makes pauses for all who are served. The arithmetic may make none; what
/// vectors cost before the compiler has seen the kernels is not ours, so this runs on the scalar ones.
class TestStepAllocation {
    @TempDir
    private Path folder;

    @Test
    void stepsAllocateNothing() throws IOException {
        Path file = folder.resolve("tiny.gguf");
        TinyCheckpoints.writeGguf(file, TinyCheckpoints.config(Architecture.QWEN2, true), DType.Q8_0, 1);
        Checkpoint checkpoint = Checkpoints.open(file);
        StepLimits limits = new StepLimits(16, 2, 16, 64);
        try (CpuBackend backend = new CpuBackend(new CpuOptions(1, 1L << 26), KernelChoice.scalar("forced"))) {
            RankSlice slice = RankSlice.of(checkpoint.config(), 0, 1, 0, 1);
            backend.load(checkpoint, slice, Map.of("tiny.gguf", file), bytes -> {});
            backend.configure(limits, new LocalCollective());
            StepDriver driver = new StepDriver(backend, limits);
            ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
            driver.admit(0, new int[] {1, 2, 3});
            driver.admit(1, new int[] {4, 5, 6, 7});
            long before = 0;
            for (int step = 0; step < 6; step++) {
                driver.begin();
                driver.row(0, 8);
                driver.row(1, 2);
                if (step == 4) {
                    before = threads.getCurrentThreadAllocatedBytes();
                }
                driver.compute();
                if (step == 4) {
                    assertThat(threads.getCurrentThreadAllocatedBytes() - before)
                            .isZero();
                }
            }
        }
    }
}
