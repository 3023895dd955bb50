package io.penstock.shard.backend.cuda.ptx;

import java.util.ArrayList;
import java.util.List;

/// A block: its warps, its shared memory and what its threads meet at.
final class Block {
    private static final int BARRIERS = 16;
    /// Warps of a warpgroup.
    static final int GROUP = 4;

    final Launch launch;
    final Cluster cluster;
    /// Its number in the cluster.
    final int rank;
    final int x;
    final int y;
    final int z;
    final SharedMemory shared;
    final Warp[] warps;
    private final NamedBarrier[] barriers = new NamedBarrier[BARRIERS];
    private final CopyBarrier[] copyBarriers;
    /// Bulk copies on their way.
    private final List<Runnable> copies = new ArrayList<>();

    private final Products[] products;

    private static final class NamedBarrier {
        int arrived;
        int expected;
        final List<Warp> waiting = new ArrayList<>();
        final int[] come;

        NamedBarrier(int[] come) {
            this.come = come;
        }
    }

    Block(Cluster cluster, int rank, int x, int y, int z) {
        this.cluster = cluster;
        this.rank = rank;
        launch = cluster.launch;
        this.x = x;
        this.y = y;
        this.z = z;
        int size = launch.program.sharedBytes() + launch.dynamicShared;
        int threads = launch.threads;
        warps = new Warp[(threads + Warp.LANES - 1) / Warp.LANES];
        shared = new SharedMemory(size, cluster.clocks);
        copyBarriers = new CopyBarrier[size / 8 + 2];
        for (int i = 0; i < warps.length; i++) {
            Warp.Registers registers = launch.program.registers();
            warps[i] = new Warp(this, i, threads - i * Warp.LANES, registers);
            launch.program.special(warps[i]);
        }
        products = new Products[(warps.length + GROUP - 1) / GROUP];
        for (int i = 0; i < products.length; i++) {
            products[i] = new Products(Math.min(GROUP, warps.length - i * GROUP));
        }
        for (int i = 0; i < BARRIERS; i++) {
            barriers[i] = new NamedBarrier(cluster.clocks.nothing());
        }
    }

    /// Whether all of its threads have.
    boolean hasEnded() {
        for (Warp warp : warps) {
            if (!warp.done()) {
                return false;
            }
        }
        return true;
    }

    boolean done() {
        if (!hasEnded()) {
            return false;
        }
        if (!copies.isEmpty()) {
            throw new PtxFault("a block ends with %d copies on their way to its shared memory", copies.size());
        }
        return true;
    }

    /// @param expected threads, or 0 for all that are there
    void arrive(Warp warp, int id, int expected, boolean waits) {
        NamedBarrier barrier = barriers[id];
        if (barrier.arrived > 0 && barrier.expected != expected) {
            throw new PtxFault("barrier %d is for %d threads, and for %d", id, barrier.expected, expected);
        }
        barrier.expected = expected;
        barrier.arrived += Warp.LANES;
        cluster.clocks.arrive(warp.actor, barrier.come);
        if (waits) {
            barrier.waiting.add(warp);
            warp.blocked = true;
        }
        launch.progress++;
        complete(id);
    }

    private void complete(int id) {
        NamedBarrier barrier = barriers[id];
        int expected = barrier.expected;
        if (expected == 0) {
            for (Warp warp : warps) {
                expected += warp.done() ? 0 : Warp.LANES;
            }
        }
        if (barrier.arrived > expected) {
            throw new PtxFault("%d threads came to barrier %d, which is for %d", barrier.arrived, id, expected);
        }
        if (barrier.arrived == expected && expected > 0) {
            barrier.arrived = 0;
            for (Warp waiting : barrier.waiting) {
                waiting.blocked = false;
                cluster.clocks.pass(waiting.actor, barrier.come);
            }
            Clocks.clear(barrier.come);
            barrier.waiting.clear();
        }
    }

    Products products(Warp warp) {
        return products[warp.number / GROUP];
    }

    /// A warp has ended.
    void left(Warp warp) {
        if (warp.products().pending(warp)) {
            throw new PtxFault("a warp ends with products on their way");
        }
        for (CopyGroups copies : warp.copies) {
            copies.commit();
            copies.await(0);
        }
        if (warp.storesPending()) {
            throw new PtxFault("a warp ends with stores of its shared memory on their way");
        }
        launch.program.reuse(warp.registers);
        cluster.left();
        for (int id = 0; id < BARRIERS; id++) {
            if (barriers[id].arrived > 0 && barriers[id].expected == 0) {
                complete(id);
            }
        }
        launch.progress++;
    }

    void makeCopyBarrier(int address, int count) {
        int at = shared.barrier(address);
        copyBarriers[at] = new CopyBarrier(count, cluster.clocks);
        launch.progress++;
    }

    CopyBarrier copyBarrier(int address) {
        return copyBarriers[shared.barrierAt(address)];
    }

    void copy(Runnable landing) {
        copies.add(landing);
    }

    /// Some copies may land now.
    void chance() {
        for (int i = copies.size() - 1; i >= 0; i--) {
            if (launch.random.nextInt(4) == 0) {
                copies.remove(i).run();
                launch.progress++;
            }
        }
    }
}
