package io.penstock.model.tokenizer;

import java.util.Arrays;

/// A growing list of token ids.
final class TokenIds {
    private int[] ids = new int[64];
    private int size;

    void add(int id) {
        reserve(1);
        ids[size++] = id;
    }

    void add(int[] from, int count) {
        reserve(count);
        System.arraycopy(from, 0, ids, size, count);
        size += count;
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
