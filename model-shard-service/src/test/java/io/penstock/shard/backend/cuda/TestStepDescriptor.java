package io.penstock.shard.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.model.sampling.SamplingParameters;
import io.penstock.shard.backend.SlotSampling;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.StepPlan;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HashMap;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/// The words are all that a kernel knows of a step: here they are read back in the order that
/// common.cuh reads them.
class TestStepDescriptor {
    private static final int TOKENS = 32;
    private static final int ROWS = 4;

    private final StepLimits limits = new StepLimits(16, ROWS, TOKENS, 128);
    private final MemorySegment words = Arena.ofAuto().allocate(4L * StepDescriptor.capacity(limits), 8);
    private final StepDescriptor descriptor = new StepDescriptor(words, limits, 264, 64);
    private final SlotSampling[] sampling = new SlotSampling[ROWS];
    private final StepPlan plan = new StepPlan(limits, new int[ROWS][8], sampling);

    private int word(int at) {
        return words.getAtIndex(ValueLayout.JAVA_INT, at);
    }

    private void row(int row, int slot, int start, int count, boolean samples) {
        plan.rows = row + 1;
        plan.slot[row] = slot;
        plan.start[row] = start;
        plan.count[row] = count;
        plan.tokenOffset[row] = plan.totalTokens;
        plan.samples[row] = samples;
        plan.generatedPosition[row] = 100 + row;
        plan.totalTokens += count;
    }

    @Test
    void describesTokensRowsTilesAndSamples() {
        row(0, 3, 40, 1, true);
        row(1, 1, 0, 20, false);
        row(2, 0, 7, 3, true);
        for (int i = 0; i < plan.totalTokens; i++) {
            plan.tokens[i] = i == 0 ? StepPlan.FROM_DEVICE : 1_000 + i;
        }
        descriptor.begin(new StepBucket(TOKENS, ROWS, true, 1), 1);
        descriptor.describe(plan, 4, 2, true, 2_000, null);

        assertThat(new int[] {word(0), word(1), word(2), word(3), word(4), word(5), word(6)})
                .containsExactly(24, 2, 2, 2, 0, 0, 1);
        int position = 16 + TOKENS;
        int slot = position + TOKENS;
        assertThat(word(16)).isEqualTo(StepPlan.FROM_DEVICE);
        assertThat(word(16 + 5)).isEqualTo(1_005);
        assertThat(word(position)).isEqualTo(40);
        assertThat(word(position + 5)).isEqualTo(4);
        assertThat(word(slot + 23)).isZero();
        int decodeRow = slot + TOKENS;
        // 3 tokens of 4 heads are 12 queries: few enough for the decode kernel.
        assertThat(new int[] {word(decodeRow), word(decodeRow + 1)}).containsExactly(0, 2);
        int rowSlot = decodeRow + ROWS;
        assertThat(new int[] {word(rowSlot), word(rowSlot + ROWS + 1), word(rowSlot + 2 * ROWS + 1)})
                .containsExactly(3, 0, 20);
        assertThat(word(rowSlot + 3 * ROWS + 2)).as("offset").isEqualTo(21);
        int sampleToken = rowSlot + 4 * ROWS;
        assertThat(new int[] {word(sampleToken), word(sampleToken + 1)}).containsExactly(0, 23);
        assertThat(new int[] {word(sampleToken + ROWS), word(sampleToken + ROWS + 1)})
                .containsExactly(3, 0);
        assertThat(new int[] {word(sampleToken + 2 * ROWS), word(sampleToken + 2 * ROWS + 1)})
                .containsExactly(100, 102);
        int items = sampleToken + 3 * ROWS;
        assertThat(new int[] {word(items), word(items + 1), word(items + 2), word(items + 3)})
                .containsExactly(1, 0, 1, 64);
        int cuts = items + 2 * (TOKENS + ROWS);
        // Two rows of one tile, two heads each: four tiles, two blocks.
        assertThat(new int[] {word(cuts), word(cuts + 3), word(cuts + 6), word(cuts + 3 * 304)})
                .as("row and head where shares begin")
                .containsExactly(0, 1 << 16, 2 << 16, 2 << 16);
        assertThat(descriptor.end()).isEqualTo(cuts + 3 * 305);
    }

    @Test
    void tilesThatSeeTheMostKeysAreTheLast() {
        row(0, 3, 60, 20, false);
        row(1, 1, 0, 12, false);
        descriptor.begin(new StepBucket(TOKENS, ROWS, true, 1), 0);
        descriptor.describe(plan, 8, 2, true, 2_000, null);
        int items = 16 + 3 * TOKENS + 8 * ROWS;
        assertThat(word(2)).isEqualTo(5);
        assertThat(IntStream.range(0, 10).map(i -> word(items + i)).toArray())
                .as("row and first query of each tile of 64")
                .containsExactly(1, 0, 1, 64, 0, 0, 0, 64, 0, 128);
    }

    @Test
    void aRankThatDoesNotSampleWritesTheIdsItWasTold() {
        row(0, 2, 5, 1, true);
        plan.tokens[0] = StepPlan.FROM_DEVICE;
        descriptor.begin(new StepBucket(1, 1, false, 1), 0);
        descriptor.describe(plan, 1, 1, true, 2_000, new int[] {7, 8, 9, 10});
        assertThat(word(16)).isEqualTo(9);
    }

    @Test
    void whatTheDeviceWouldReadPastItsArraysForIsRefused() {
        row(0, 2, 5, 1, true);
        descriptor.begin(new StepBucket(TOKENS, ROWS, false, 1), 0);
        for (int bad : new int[] {2_000, -2}) {
            plan.tokens[0] = bad;
            assertThatThrownBy(() -> descriptor.describe(plan, 1, 1, true, 2_000, null))
                    .hasMessage("slot 2: token %d, the vocabulary has 2000", bad);
        }
        plan.tokens[0] = 1_999;
        descriptor.describe(plan, 1, 1, true, 2_000, null);
        plan.start[0] = limits.maxLength();
        assertThatThrownBy(() -> descriptor.describe(plan, 1, 1, true, 2_000, null))
                .hasMessageContaining("at position 128");
    }

    @Test
    void saysOfSlotsBehindAllElse() {
        SlotSampling penalised = new SlotSampling(
                new SamplingParameters(0.5f, 1, 0, 0, 1.5f, 0, 0, Map.of(9, 2f, 4, -1f), 0x1_0000_0002L),
                new int[] {11, 12, 13},
                2,
                new int[] {6},
                3,
                5);
        SlotSampling plain = new SlotSampling(SamplingParameters.greedy(), new int[] {1, 2}, 2, new int[0], 0, -1);
        descriptor.begin(new StepBucket(1, 1, false, 1), 0);
        int end = descriptor.end();
        descriptor.admit(2, penalised);
        descriptor.appendBlock(2, 0, 77);
        descriptor.admit(3, plain);
        descriptor.appendBlock(3, 1, 78);
        descriptor.writeAdmissions(1_000);

        assertThat(new int[] {word(4), word(5)}).containsExactly(2, 2);
        assertThat(new int[] {word(end), word(end + 1), word(end + 2), word(end + 3), word(end + 4), word(end + 5)})
                .containsExactly(2, 0, 77, 3, 1, 78);
        int record = end + 6;
        assertThat(new int[] {word(record), word(record + 1), word(record + 2), word(record + 3)})
                .as("slot, words, tokens, generated")
                .containsExactly(2, 16 + 4 + 1, 3, 1);
        int fields = record + 4;
        assertThat(Float.intBitsToFloat(word(fields))).isEqualTo(0.5f);
        assertThat(Float.intBitsToFloat(word(fields + 3))).isEqualTo(1.5f);
        assertThat(new int[] {word(fields + 7), word(fields + 8), word(fields + 9), word(fields + 10)})
                .containsExactly(5, 3, 1, 2);
        assertThat(new int[] {word(fields + 11), word(fields + 12), word(fields + 13)})
                .containsExactly(1, 2, 1);
        assertThat(new int[] {word(fields + 16), word(fields + 17), word(fields + 20)})
                .containsExactly(4, 9, 6);
        assertThat(Float.intBitsToFloat(word(fields + 18))).isEqualTo(-1f);
        int second = fields + 21 + 3;
        assertThat(new int[] {word(second), word(second + 1), word(second + 2)}).containsExactly(3, 16, 0);
        assertThat(descriptor.end()).isEqualTo(second + 4 + 16);
    }

    @Test
    void anySlotsNewsFitsAnEmptyDescription() {
        Map<Integer, Float> biases = new HashMap<>();
        for (int i = 0; i < SamplingParameters.MAX_LOGIT_BIAS; i++) {
            biases.put(i, 1f);
        }
        SlotSampling longest = new SlotSampling(
                new SamplingParameters(1, 1, 0, 0, 1.5f, 0, 0, biases, 1), new int[128], 1, new int[1_024], 0, 20);
        descriptor.begin(new StepBucket(TOKENS, ROWS, true, 1), 0);
        assertThat(descriptor.hasRoom(8, longest)).isTrue();
        descriptor.admit(0, longest);
        descriptor.admit(1, longest);
        assertThat(descriptor.hasRoom(8, longest)).as("then it is flushed").isFalse();
    }
}
