package io.penstock.scheduler.kv;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import org.junit.jupiter.api.Test;

/// A block given out too early lets one user's text flow into another's.
final class TestBlockPool {
    @Test
    void aBlockIsFreeOnlyWhenItsLastStepHasReported() {
        BlockPool pool = new BlockPool(2);
        int early = pool.take();
        int late = pool.take();
        pool.release(late, 5);
        pool.release(early, 4);
        assertThat(pool.free()).isZero();
        assertThat(pool.awaitingReport()).isEqualTo(2);
        pool.stepReported(4);
        assertThat(pool.free()).isEqualTo(1);
        assertThat(pool.take()).isEqualTo(early);
        pool.stepReported(5);
        assertThat(pool.take()).isEqualTo(late);
        pool.release(late, 5);
        assertThat(pool.free()).as("released after its step reported").isEqualTo(1);
    }

    @Test
    void aSharedBlockIsFreeWhenTheLastHolderLetsGo() {
        BlockPool pool = new BlockPool(3);
        BlockTable one = new BlockTable();
        BlockTable two = new BlockTable();
        int shared = pool.take();
        one.append(shared);
        pool.retain(shared);
        two.append(shared);
        two.append(pool.take());
        pool.checkIntegrity(List.of(one, two));
        one.releaseAll(pool, 0);
        assertThat(pool.held()).isEqualTo(2);
        pool.checkIntegrity(List.of(one, two));
        two.releaseAll(pool, 0);
        assertThat(pool.free()).isEqualTo(3);
        pool.checkIntegrity(List.of());
    }

    /// A shard's memory grows with what runs at once, not with what has run.
    @Test
    void blocksBeyondWhatRunsAtOnceAreNeverTouched() {
        BlockPool pool = new BlockPool(1_000);
        for (int step = 1; step < 500; step++) {
            int first = pool.take();
            int second = pool.take();
            assertThat(first).isLessThan(4);
            assertThat(second).isLessThan(4);
            pool.release(first, step);
            pool.release(second, step - 1);
            pool.stepReported(step);
        }
    }

    @Test
    void theIntegrityCheckFindsWhatIsWrong() {
        BlockPool pool = new BlockPool(3);
        BlockTable table = new BlockTable();
        int block = pool.take();
        assertThatThrownBy(() -> pool.checkIntegrity(List.of(table)))
                .hasMessage("KV block %d is in 0 tables, counted 1", block);
        table.append(block);
        pool.checkIntegrity(List.of(table));
        table.append(block);
        assertThatThrownBy(() -> pool.checkIntegrity(List.of(table))).hasMessageContaining("in 2 tables, counted 1");
        pool.release(block, 0);
        assertThatThrownBy(() -> pool.release(block, 0)).hasMessageContaining("not held");
        assertThatThrownBy(() -> pool.retain(block)).hasMessageContaining("not held");
    }
}
