package io.penstock.shard.backend.cuda.ptx;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;

/// A thread's copies of `cp.async`, or its bulk stores, in groups. They take place when they are waited for,
/// not before: until then nobody may read where they go.
final class CopyGroups {
    private final Deque<List<Runnable>> groups = new ArrayDeque<>();
    private List<Runnable> open = new ArrayList<>();
    private int count;

    void add(Runnable copy) {
        open.add(copy);
    }

    void commit() {
        groups.addLast(open);
        count++;
        open = new ArrayList<>();
    }

    /// Groups so far.
    int count() {
        return count;
    }

    boolean pending() {
        return !groups.isEmpty() || !open.isEmpty();
    }

    /// Lands all but the newest groups.
    void await(int left) {
        while (groups.size() > left) {
            groups.removeFirst().forEach(Runnable::run);
        }
    }
}
