package io.penstock.shard.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import io.penstock.model.tensor.RankSlice;
import io.penstock.shard.backend.StepLimits;
import java.lang.management.ManagementFactory;
import org.junit.jupiter.api.Test;

/// A step that makes garbage makes pauses for all who are served. The arithmetic may make none; what
/// vectors cost before the compiler has seen the kernels is not ours, so this runs on the scalar ones.
class TestStepAllocation {
    @Test
    void stepsAllocateNothing() {
        RealModel model = RealModel.open();
        StepLimits limits = new StepLimits(16, 2, 16, 64);
        try (CpuBackend backend = new CpuBackend(new CpuOptions(1, 1L << 26), KernelChoice.scalar("forced"))) {
            backend.load(
                    model.checkpoint(), RankSlice.of(model.checkpoint().config(), 0, 1, 0, 1), model.files(), b -> {});
            backend.configure(limits, new SingleRank());
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
