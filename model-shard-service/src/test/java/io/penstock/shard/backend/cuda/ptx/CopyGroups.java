package io.penstock.shard.backend.cuda.ptx;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.random.RandomGenerator;

/// A warp's copies of `cp.async`, in groups. They land when they are waited for, or by chance before.
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

    void chance(RandomGenerator random) {
        if (!groups.isEmpty() && random.nextInt(16) == 0) {
            List<Runnable> group = groups.peekFirst();
            if (!group.isEmpty()) {
                group.remove(random.nextInt(group.size())).run();
            }
        }
    }
}
