package io.penstock.shard.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.model.PenstockException;
import io.penstock.model.sampling.SamplingParameters;
import io.penstock.shard.backend.SlotSampling;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.StepPlan;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Map;
import org.junit.jupiter.api.Test;

/// A block that the device is not told of is another sequence's keys; a sequence it is not told of
/// is sampled as the one before.
final class TestSlotNews {
    private static final int SLOTS = 64;
    private static final int LENGTH = 128;
    private static final int BLOCKS = 40;

    private final StepLimits limits = new StepLimits(16, SLOTS, LENGTH * SLOTS, LENGTH);
    private final ShardShape shape = Shapes.of(512, 8, 2, 64, 1_408);
    private final StepBucket bucket = new StepBucket(LENGTH * SLOTS, SLOTS, true, 1);
    private final MemorySegment words = Arena.ofAuto().allocate(4L * StepDescriptor.capacity(limits), 8);
    private final StepDescriptor descriptor = new StepDescriptor(words, limits, 264, 64);
    private final SlotSampling[] sampling = new SlotSampling[SLOTS];
    private final int[][] table = new int[SLOTS][LENGTH / 16];
    private final StepPlan plan = new StepPlan(limits, table, sampling);
    private final SlotNews news = new SlotNews(shape, limits, BLOCKS);
    private int flushes;
    private int blocks;
    private int admissions;

    private void row(int slot, int start, int count) {
        int row = plan.rows++;
        plan.slot[row] = slot;
        plan.start[row] = start;
        plan.count[row] = count;
    }

    private static SlotSampling sequence(boolean penalises) {
        SamplingParameters parameters = new SamplingParameters(1, 1, 0, 0, penalises ? 1.3f : 1, 0, 0, Map.of(), 7);
        return new SlotSampling(parameters, new int[LENGTH], LENGTH, new int[0], 0, -1);
    }

    private void tell() {
        flushes = 0;
        blocks = 0;
        admissions = 0;
        descriptor.begin(bucket, 0);
        news.tell(plan, descriptor, () -> {
            flushes++;
            descriptor.writeAdmissions(1_000);
            count();
            descriptor.begin(bucket, 0);
        });
        count();
        plan.rows = 0;
    }

    private void count() {
        blocks += words.getAtIndex(ValueLayout.JAVA_INT, 4);
        admissions += words.getAtIndex(ValueLayout.JAVA_INT, 5);
    }

    @Test
    void eachBlockIsToldOnceAndAllAnewToAnotherSequence() {
        sampling[2] = sequence(false);
        row(2, 0, 20);
        tell();
        assertThat(new int[] {blocks, admissions, flushes}).containsExactly(2, 1, 0);
        row(2, 20, 1);
        tell();
        assertThat(new int[] {blocks, admissions}).containsExactly(0, 0);
        row(2, 21, 12);
        tell();
        assertThat(new int[] {blocks, admissions}).containsExactly(1, 0);
        // Equal, and yet another one.
        sampling[2] = sequence(false);
        row(2, 0, 33);
        tell();
        assertThat(new int[] {blocks, admissions}).containsExactly(3, 1);
    }

    @Test
    void moreNewsThanFitGoInSeveralDescriptions() {
        for (int slot = 0; slot < SLOTS; slot++) {
            sampling[slot] = sequence(true);
            row(slot, 0, LENGTH);
        }
        tell();
        assertThat(flushes).isPositive();
        assertThat(new int[] {blocks, admissions}).containsExactly(SLOTS * LENGTH / 16, SLOTS);
    }

    @Test
    void aBlockThatThereIsNotIsRefused() {
        for (int block : new int[] {-1, BLOCKS}) {
            SlotNews fresh = new SlotNews(shape, limits, BLOCKS);
            sampling[0] = sequence(false);
            table[0][1] = block;
            plan.rows = 0;
            row(0, 0, 17);
            descriptor.begin(bucket, 0);
            assertThatThrownBy(() -> fresh.tell(plan, descriptor, () -> {}))
                    .isInstanceOf(PenstockException.class)
                    .hasMessageContaining("KV block " + block);
        }
    }
}
