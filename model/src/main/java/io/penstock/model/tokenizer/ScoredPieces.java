package io.penstock.model.tokenizer;

import java.util.Arrays;

/// Merges of SentencePiece's BPE: two neighbours merge where what they spell together is a piece, the
/// piece of the highest score first (`bpe_model.cc` of github.com/google/sentencepiece).
///
/// The spelling of two neighbours is looked up by its hash, which is made of theirs, and then compared.
final class ScoredPieces implements Merges {
    /// Odd, so that no power of it is 0.
    private static final long BASE = 0x9E3779B97F4A7C15L;

    private static final int EMPTY = -1;

    private final byte[][] spellings;
    /// Of each piece its hash, and the base to the power of its length.
    private final long[] hashes;

    private final long[] powers;
    private final int[] ranks;
    private final int[] slots;
    private final int mask;

    /// @param spellings by id, null for those that take no part
    /// @param scores by id; pieces without one are not made by any merge
    /// @throws IllegalArgumentException if one is no number
    ScoredPieces(byte[][] spellings, float[] scores) {
        this.spellings = spellings;
        hashes = new long[spellings.length];
        powers = new long[spellings.length];
        ranks = ranks(scores);
        int capacity = Integer.highestOneBit(Math.max(8, scores.length * 2 - 1)) << 1;
        mask = capacity - 1;
        slots = new int[capacity];
        Arrays.fill(slots, EMPTY);
        for (int id = 0; id < spellings.length; id++) {
            if (spellings[id] == null) {
                continue;
            }
            long power = 1;
            for (byte value : spellings[id]) {
                hashes[id] = hashes[id] * BASE + (value & 0xFF) + 1;
                power *= BASE;
            }
            powers[id] = power;
            if (id < scores.length) {
                int slot = first(hashes[id]);
                while (slots[slot] != EMPTY) {
                    slot = (slot + 1) & mask;
                }
                slots[slot] = id;
            }
        }
    }

    /// Equal scores are equal ranks.
    private static int[] ranks(float[] scores) {
        float[] sorted = new float[scores.length];
        for (int id = 0; id < scores.length; id++) {
            if (Float.isNaN(scores[id])) {
                throw new IllegalArgumentException("the score of token %d is no number".formatted(id));
            }
            // Of -0, which sorts before 0, adding makes 0.
            sorted[id] = scores[id] + 0f;
        }
        Arrays.sort(sorted);
        int distinct = 0;
        for (float score : sorted) {
            if (distinct == 0 || score != sorted[distinct - 1]) {
                sorted[distinct++] = score;
            }
        }
        int[] ranks = new int[scores.length];
        for (int id = 0; id < ranks.length; id++) {
            ranks[id] = distinct - 1 - Arrays.binarySearch(sorted, 0, distinct, scores[id] + 0f);
        }
        return ranks;
    }

    @Override
    public int rank(int left, int right) {
        int made = find(left, right);
        return made == EMPTY ? NONE : ranks[made];
    }

    @Override
    public int merged(int left, int right) {
        return find(left, right);
    }

    // The table is at most half full, so the walk ends.
    private int find(int left, int right) {
        byte[] first = spellings[left];
        byte[] second = spellings[right];
        if (first == null || second == null) {
            return EMPTY;
        }
        long hash = hashes[left] * powers[right] + hashes[right];
        for (int slot = first(hash); slots[slot] != EMPTY; slot = (slot + 1) & mask) {
            int id = slots[slot];
            byte[] whole = spellings[id];
            if (hashes[id] == hash
                    && whole.length == first.length + second.length
                    && Arrays.equals(whole, 0, first.length, first, 0, first.length)
                    && Arrays.equals(whole, first.length, whole.length, second, 0, second.length)) {
                return id;
            }
        }
        return EMPTY;
    }

    private int first(long hash) {
        return (int) ((hash * BASE) >>> 32) & mask;
    }
}
