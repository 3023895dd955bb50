package io.penstock.model.tokenizer;

import java.util.Arrays;

/// A growing list of token ids.
final class TokenIds {
    private int[] ids;
    private int size;

    /// @param capacity that it begins with
    TokenIds(int capacity) {
        ids = new int[capacity];
    }

    void add(int id) {
        reserve(1);
        ids[size++] = id;
    }

    void add(int[] from, int count) {
        reserve(count);
        System.arraycopy(from, 0, ids, size, count);
        size += count;
    }

    /// Merges its tokens as one word.
    void merge(Merges merges) {
        size = PairMerger.merge(merges, ids, size);
    }

    int[] toArray() {
        return Arrays.copyOf(ids, size);
    }

    private void reserve(int more) {
        if (ids.length - size < more) {
            ids = Arrays.copyOf(ids, Math.max(size + more, size * 2));
        }
    }
}
