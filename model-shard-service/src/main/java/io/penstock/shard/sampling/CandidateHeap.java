package io.penstock.shard.sampling;

/// Tokens by logit, best first, equal logits by lower id: a binary heap that is built in linear time and
/// popped as far as top-k and top-p ask, so that the vocabulary is never sorted.
final class CandidateHeap {
    // The logit, mapped so that integers order as floats do, above the complement of the id: keys are
    // unique.
    private final long[] keys;
    private int size;

    CandidateHeap(int capacity) {
        keys = new long[capacity];
    }

    void clear() {
        size = 0;
    }

    int size() {
        return size;
    }

    /// Adds without ordering; [#order] comes before the first [#pop].
    void add(int token, float logit) {
        int bits = Float.floatToRawIntBits(logit);
        int ordered = bits ^ (bits >> 31 & Integer.MAX_VALUE);
        keys[size++] = (long) ordered << 32 | (~token & 0xFFFFFFFFL);
    }

    void order() {
        for (int i = (size >>> 1) - 1; i >= 0; i--) {
            siftDown(i, keys[i]);
        }
    }

    /// @return the best token left
    int pop() {
        long best = keys[0];
        long last = keys[--size];
        if (size > 0) {
            siftDown(0, last);
        }
        return ~(int) best;
    }

    private void siftDown(int from, long key) {
        int i = from;
        int firstLeaf = size >>> 1;
        while (i < firstLeaf) {
            int child = 2 * i + 1;
            if (child + 1 < size && keys[child + 1] > keys[child]) {
                child++;
            }
            if (keys[child] <= key) {
                break;
            }
            keys[i] = keys[child];
            i = child;
        }
        keys[i] = key;
    }
}
