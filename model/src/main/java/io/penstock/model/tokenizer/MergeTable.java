package io.penstock.model.tokenizer;

import java.util.Arrays;

/// Merges that are listed by rank: an open-addressing table from (left, right) to rank.
final class MergeTable implements Merges {
    private static final long EMPTY = -1;

    private final long[] pairs;
    private final int[] ranks;
    private final int[] merged;
    private final int mask;

    /// @param left left token of each merge, in order of rank; a repeated pair keeps its last rank, as the reference
    /// does
    /// @param right right token of each
    /// @param merged token each makes
    MergeTable(int[] left, int[] right, int[] merged) {
        int slots = Integer.highestOneBit(Math.max(8, merged.length * 2 - 1)) << 1;
        this.pairs = new long[slots];
        this.ranks = new int[slots];
        this.merged = merged.clone();
        this.mask = slots - 1;
        Arrays.fill(pairs, EMPTY);
        for (int rank = 0; rank < merged.length; rank++) {
            long pair = pair(left[rank], right[rank]);
            int slot = slot(pair);
            pairs[slot] = pair;
            ranks[slot] = rank;
        }
    }

    @Override
    public int rank(int left, int right) {
        long pair = pair(left, right);
        int slot = slot(pair);
        return pairs[slot] == pair ? ranks[slot] : NONE;
    }

    @Override
    public int merged(int left, int right) {
        return merged[rank(left, right)];
    }

    // The table is at most half full, so the walk ends.
    private int slot(long pair) {
        long mixed = pair * 0x9E3779B97F4A7C15L;
        int slot = (int) (mixed >>> 40) & mask;
        while (pairs[slot] != pair && pairs[slot] != EMPTY) {
            slot = (slot + 1) & mask;
        }
        return slot;
    }

    private static long pair(int left, int right) {
        return (long) left << 32 | right;
    }
}
