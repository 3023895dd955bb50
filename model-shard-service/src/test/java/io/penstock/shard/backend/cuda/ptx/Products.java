package io.penstock.shard.backend.cuda.ptx;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;

/// A warp's quarters of `wgmma` products, in groups: computed when they are waited for, from what shared memory and
/// registers hold then.
final class Products {
    private final Deque<List<Runnable>> groups = new ArrayDeque<>();
    private List<Runnable> open = new ArrayList<>();

    void add(Runnable product) {
        open.add(product);
    }

    void commit() {
        groups.addLast(open);
        open = new ArrayList<>();
    }

    void await(int left) {
        while (groups.size() > left) {
            groups.removeFirst().forEach(Runnable::run);
        }
    }

    boolean pending() {
        return !groups.isEmpty() || !open.isEmpty();
    }
}
