package io.penstock.shard.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.shard.backend.StepLimits;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/// A step that fits no bucket could not run; one whose bucket is too small for its tiles would leave
/// queries unanswered.
class TestStepBucket {
    private final StepLimits limits = new StepLimits(16, 48, 2_000, 4_096);

    @Test
    void everySizeOfStepHasABucketNotMuchLarger() {
        ShardShape shape = Shapes.of(448, 7, 1, 64, 1_216);
        for (boolean prefill : new boolean[] {false, true}) {
            List<StepBucket> buckets = StepBucket.of(limits, shape, 132, prefill);
            int most = prefill ? limits.maxStepTokens() : limits.maxSequences();
            for (int tokens = 1; tokens <= most; tokens++) {
                StepBucket bucket = StepBucket.smallest(buckets, tokens);
                assertThat(bucket.tokens()).isBetween(tokens, Math.min(most, Math.max(2 * tokens, tokens + 64)) + 192);
                assertThat(bucket.rows()).isLessThanOrEqualTo(limits.maxSequences());
                assertThat(bucket.splits()).isBetween(1, 64);
            }
        }
    }

    @Test
    void prefillGridHoldsTheTilesOfAnyMixOfRows() {
        Random random = new Random(3);
        for (int[] heads : new int[][] {{7, 1}, {8, 2}, {32, 32}, {28, 4}, {64, 1}}) {
            ShardShape shape = Shapes.of(64 * heads[0], heads[0], heads[1], 64, 256);
            for (StepBucket bucket : StepBucket.of(limits, shape, 132, true)) {
                for (int trial = 0; trial < 50; trial++) {
                    int left = bucket.tokens();
                    int tiles = 0;
                    int allTiles = 0;
                    for (int row = 0; row < bucket.rows() && left > 0; row++) {
                        int count = 1 + random.nextInt(Math.min(left, trial < 25 ? 20 : left));
                        left -= count;
                        allTiles += (count * shape.group() + 63) / 64;
                        if (!StepBucket.isDecode(count, shape.group())) {
                            tiles += (count * shape.group() + 63) / 64;
                        }
                    }
                    assertThat(tiles).isLessThanOrEqualTo(bucket.prefillItems(shape, false, 64));
                    assertThat(allTiles).isLessThanOrEqualTo(bucket.prefillItems(shape, true, 64));
                    assertThat(bucket.prefillItems(shape, true, 64))
                            .as("room in the description")
                            .isLessThanOrEqualTo(bucket.tokens() * shape.group() / 64 + 1 + bucket.rows());
                }
            }
        }
    }
}
