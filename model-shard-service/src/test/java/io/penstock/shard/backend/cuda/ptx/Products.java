package io.penstock.shard.backend.cuda.ptx;

import java.util.ArrayList;
import java.util.List;

/// A warpgroup's `wgmma` products, in groups: each is one of all four warps, and takes place when the first of them
/// waits
/// for it, of what shared memory and registers hold then.
final class Products {
    private final List<List<List<Quarter>>> groups = new ArrayList<>();
    private final int[] done;
    private int current;

    /// A warp's part.
    interface Quarter {
        void run();
    }

    Products(int warps) {
        done = new int[warps];
        for (int i = 0; i < warps; i++) {
            groups.add(new ArrayList<>());
            groups.get(i).add(new ArrayList<>());
        }
    }

    private List<List<Quarter>> of(Warp warp) {
        return groups.get(warp.number % groups.size());
    }

    void add(Warp warp, Quarter quarter) {
        of(warp).getLast().add(quarter);
    }

    void commit(Warp warp) {
        of(warp).add(new ArrayList<>());
    }

    /// @param left newest groups that need not be there
    /// @return whether all warps have come so far
    boolean await(Warp warp, int left) {
        int target = of(warp).size() - 1 - left;
        for (List<List<Quarter>> each : groups) {
            if (each.size() - 1 < target) {
                return false;
            }
        }
        for (int i = 0; i < done.length; i++) {
            for (; done[i] < target; done[i]++) {
                for (Quarter quarter : groups.get(i).set(done[i], List.of())) {
                    current = done[i] + 1;
                    quarter.run();
                }
            }
        }
        warp.block.cluster.clocks.pass(warp.actor, warp.productActor, target);
        return true;
    }

    /// The number of the group that takes place.
    int current() {
        return current;
    }

    boolean pending(Warp warp) {
        int index = warp.number % groups.size();
        return done[index] < of(warp).size() - 1 || !of(warp).getLast().isEmpty();
    }
}
