package io.penstock.shard.backend.cuda.ptx;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;

/// A thread's copies of `cp.async`, in groups. They land when they are waited for, not before: until then nobody may
/// read
/// where they go.
final class CopyGroups {
    private final Deque<List<Runnable>> groups = new ArrayDeque<>();
    private List<Runnable> open = new ArrayList<>();

    void add(Runnable copy) {
        open.add(copy);
    }

    void commit() {
        groups.addLast(open);
        open = new ArrayList<>();
    }

    /// Lands all but the newest groups.
    void await(int left) {
        while (groups.size() > left) {
            groups.removeFirst().forEach(Runnable::run);
        }
    }
}
