package io.penstock.shard.backend.cuda;

import io.penstock.shard.backend.StepLimits;
import java.util.ArrayList;
import java.util.List;

/// A size of step that kernels are launched, and graphs captured, for: a step runs in the smallest
/// bucket that holds it.
///
/// @param tokens at most
/// @param rows at most
/// @param prefill whether rows may need the prefill kernel; without, every row is one of few queries
/// @param splits parts of a row's context in the decode kernel
record StepBucket(int tokens, int rows, boolean prefill, int splits) {

    private static final int MAX_SPLITS = 64;
    private static final int KEYS_A_TILE = 64;

    /// Rows of this many queries go to the decode kernel.
    static boolean isDecode(int count, int group) {
        return count * group <= ShardShape.QUERY_TILE;
    }

    /// All buckets of an epoch, smallest first.
    static List<StepBucket> of(StepLimits limits, ShardShape shape, int multiprocessors, boolean prefill) {
        int most = prefill ? limits.maxStepTokens() : Math.min(limits.maxSequences(), limits.maxStepTokens());
        List<StepBucket> buckets = new ArrayList<>();
        for (int tokens = 1; ; tokens = following(tokens)) {
            int size = Math.min(tokens, most);
            int rows = Math.min(size, limits.maxSequences());
            buckets.add(new StepBucket(size, rows, prefill, splits(limits, shape, multiprocessors, rows)));
            if (size == most) {
                return List.copyOf(buckets);
            }
        }
    }

    private static int following(int tokens) {
        return tokens < 64 ? 2 * tokens : tokens < 512 ? tokens + 64 : tokens + 256;
    }

    // Enough blocks to fill the device twice; each has at least one tile of keys where the context is
    // long.
    private static int splits(StepLimits limits, ShardShape shape, int multiprocessors, int rows) {
        int wanted = (2 * multiprocessors + rows * shape.kvHeads() - 1) / (rows * shape.kvHeads());
        int tiles = (limits.maxLength() + KEYS_A_TILE - 1) / KEYS_A_TILE;
        return Math.min(Math.max(Math.min(wanted, tiles), Math.min(4, tiles)), MAX_SPLITS);
    }

    /// How many rows a step's end is prepared for, smallest first: it runs for the first that is enough.
    List<Integer> sampleCounts() {
        List<Integer> counts = new ArrayList<>();
        for (int count = 1; count < rows; count *= 2) {
            counts.add(count);
        }
        counts.add(rows);
        return counts;
    }

    /// Blocks of the prefill kernel, a key/value head: an upper bound.
    ///
    /// @param every whether rows of few queries are among them
    /// @param tile queries of a block
    int prefillItems(ShardShape shape, boolean every, int tile) {
        int least = every ? 1 : ShardShape.QUERY_TILE / shape.group() + 1;
        return (tokens * shape.group() + tile - 1) / tile + Math.min(tokens / least, rows);
    }

    static StepBucket smallest(List<StepBucket> buckets, int tokens) {
        for (StepBucket bucket : buckets) {
            if (bucket.tokens() >= tokens) {
                return bucket;
            }
        }
        throw new IllegalArgumentException("a step of %d tokens, at most %d are possible"
                .formatted(tokens, buckets.getLast().tokens()));
    }
}
