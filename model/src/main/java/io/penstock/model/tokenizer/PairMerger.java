package io.penstock.model.tokenizer;

import java.util.Arrays;

/// Byte-pair encoding of one word: while any two neighbours merge, merge those of the lowest rank, the leftmost first.
/// Short words by scanning, long ones with a heap, in O(n log n).
final class PairMerger {
    /// Up to here a scan of all neighbours for each merge beats the heap.
    private static final int SCANNED = 40;

    private PairMerger() {}

    /// @param ids the word's tokens, merged in place
    /// @param count how many of `ids` are the word
    /// @return how many remain, at the start of `ids`
    static int merge(Merges merges, int[] ids, int count) {
        return count <= SCANNED ? scan(merges, ids, count) : heap(merges, ids, count);
    }

    private static int scan(Merges merges, int[] ids, int count) {
        int[] ranks = new int[count];
        for (int index = 0; index + 1 < count; index++) {
            ranks[index] = merges.rank(ids[index], ids[index + 1]);
        }
        while (count > 1) {
            int best = 0;
            for (int index = 1; index + 1 < count; index++) {
                if (ranks[index] < ranks[best]) {
                    best = index;
                }
            }
            if (ranks[best] == Merges.NONE) {
                break;
            }
            ids[best] = merges.merged(ids[best], ids[best + 1]);
            count--;
            System.arraycopy(ids, best + 2, ids, best + 1, count - best - 1);
            System.arraycopy(ranks, best + 2, ranks, best + 1, count - best - 1);
            if (best > 0) {
                ranks[best - 1] = merges.rank(ids[best - 1], ids[best]);
            }
            if (best + 1 < count) {
                ranks[best] = merges.rank(ids[best], ids[best + 1]);
            }
        }
        return count;
    }

    private static int heap(Merges merges, int[] ids, int count) {
        int[] next = new int[count];
        int[] previous = new int[count];
        for (int index = 0; index < count; index++) {
            next[index] = index + 1;
            previous[index] = index - 1;
        }
        // rank << 32 | position. A pair that has changed since it was queued is told by its rank: a pair at the same
        // position can only have grown. Where it has the same rank all the same, it is due now as well.
        Heap queue = new Heap(count);
        for (int index = 0; index + 1 < count; index++) {
            queue.offer(merges.rank(ids[index], ids[index + 1]), index);
        }
        while (!queue.isEmpty()) {
            long entry = queue.poll();
            int rank = (int) (entry >>> 32);
            int left = (int) entry;
            int right = next[left];
            // Absorbed symbols have no next.
            if (right < 0 || right >= count || merges.rank(ids[left], ids[right]) != rank) {
                continue;
            }
            ids[left] = merges.merged(ids[left], ids[right]);
            int after = next[right];
            next[left] = after;
            next[right] = -1;
            if (after < count) {
                previous[after] = left;
                queue.offer(merges.rank(ids[left], ids[after]), left);
            }
            int before = previous[left];
            if (before >= 0) {
                queue.offer(merges.rank(ids[before], ids[left]), before);
            }
        }
        int kept = 0;
        for (int index = 0; index < count; index = next[index]) {
            ids[kept++] = ids[index];
        }
        return kept;
    }

    /// A binary heap of longs.
    private static final class Heap {
        private long[] entries;
        private int size;

        Heap(int capacity) {
            entries = new long[capacity];
        }

        boolean isEmpty() {
            return size == 0;
        }

        void offer(int rank, int position) {
            if (rank == Merges.NONE) {
                return;
            }
            if (size == entries.length) {
                entries = Arrays.copyOf(entries, size + (size >> 1) + 1);
            }
            long entry = (long) rank << 32 | position;
            int child = size++;
            while (child > 0) {
                int parent = (child - 1) >>> 1;
                if (entries[parent] <= entry) {
                    break;
                }
                entries[child] = entries[parent];
                child = parent;
            }
            entries[child] = entry;
        }

        long poll() {
            long least = entries[0];
            long moved = entries[--size];
            int parent = 0;
            for (int child = 1; child < size; child = 2 * parent + 1) {
                if (child + 1 < size && entries[child + 1] < entries[child]) {
                    child++;
                }
                if (entries[child] >= moved) {
                    break;
                }
                entries[parent] = entries[child];
                parent = child;
            }
            entries[parent] = moved;
            return least;
        }
    }
}
