package io.penstock.loader.transfer;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.function.IntUnaryOperator;
import org.junit.jupiter.api.Test;

/// How many GETs run decides whether a link is filled or a service is flooded.
class TestParallelism {
    @Test
    void growsToWhatConnectionsWithALimitNeedWithinTwoSeconds() {
        Parallelism parallelism = new Parallelism(100);
        run(parallelism, 10, limit -> limit * 50);
        assertThat(parallelism.limit()).isEqualTo(100);
    }

    @Test
    void aPauseOfThisMachineNeitherEndsAGrowthNorTakesOneBack() {
        Parallelism parallelism = new Parallelism(100);
        for (int tick = 0; tick < 40; tick++) {
            // A tick of almost nothing, and what was waiting in the next one.
            int held = tick % 5 == 3 ? 1 : tick % 5 == 4 ? 99 : 50;
            parallelism.tick(1.0 * parallelism.limit() * held, true);
        }
        assertThat(parallelism.limit()).isEqualTo(100);
    }

    @Test
    void staysLowWhereMoreBringsNoMore() {
        Parallelism parallelism = new Parallelism(128);
        run(parallelism, 40, limit -> Math.min(limit * 50, 500));
        assertThat(parallelism.limit()).isEqualTo(16);
        // It is tried again now and then, for a link may have become free.
        run(parallelism, 40, limit -> limit * 50);
        assertThat(parallelism.limit()).isEqualTo(128);
    }

    @Test
    void stepsBackWhenRefusedAndComesAgainLater() {
        Parallelism parallelism = new Parallelism(64);
        run(parallelism, 10, limit -> limit);
        assertThat(parallelism.limit()).isEqualTo(64);
        for (int refusal = 0; refusal < 20; refusal++) {
            // Many in one tick count once.
            parallelism.refused();
            parallelism.refused();
            parallelism.tick(1, true);
        }
        assertThat(parallelism.limit()).isEqualTo(1);
        run(parallelism, 30, limit -> limit);
        assertThat(parallelism.limit()).isEqualTo(64);
    }

    @Test
    void learnsNothingWhileThereIsTooLittleToDo() {
        Parallelism parallelism = new Parallelism(64);
        for (int tick = 0; tick < 20; tick++) {
            parallelism.tick(tick * 100.0, false);
        }
        assertThat(parallelism.limit()).isEqualTo(16);
    }

    @Test
    void doesNotGrowWhileNothingComesAtAll() {
        Parallelism parallelism = new Parallelism(64);
        run(parallelism, 20, _ -> 0);
        assertThat(parallelism.limit()).isEqualTo(16);
    }

    private static void run(Parallelism parallelism, int ticks, IntUnaryOperator bytesAtLimit) {
        for (int tick = 0; tick < ticks; tick++) {
            parallelism.tick(bytesAtLimit.applyAsInt(parallelism.limit()), true);
        }
    }
}
