package io.penstock.shard.backend.cuda.ptx;

import java.util.Arrays;

/// Vector clocks of those that act in a cluster's shared memory: warps, warpgroups' products, stores that warps have
/// started and, for their copies, the barriers that count bytes.
final class Clocks {
    /// As many as [Races] has bits for.
    private static final int MOST = 128;

    private static final int MOST_BARRIERS = 64;

    final int warps;
    /// Warps, then warpgroups' products, then warps' stores.
    final int readers;
    private final int products;
    private final int[][] clocks;
    private int barriers;

    /// @param warps of all blocks of a cluster, and
    /// @param products of their warpgroups
    Clocks(int warps, int products) {
        this.warps = warps;
        this.products = products;
        readers = 2 * warps + products;
        clocks = new int[warps][readers + MOST_BARRIERS];
        for (int i = 0; i < warps; i++) {
            clocks[i][i] = 1;
        }
    }

    /// Of a cluster's warpgroup.
    int productActor(int warpgroup) {
        return warps + warpgroup;
    }

    /// Of a warp.
    int storeActor(int warp) {
        return warps + products + warp;
    }

    /// What has come to a barrier.
    int[] nothing() {
        return new int[readers + MOST_BARRIERS];
    }

    /// An actor for a new barrier's copies.
    int barrierActor() {
        if (barriers == MOST_BARRIERS || readers + barriers == MOST) {
            throw new PtxFault("more than %d barriers", barriers);
        }
        return readers + barriers++;
    }

    /// What a warp knows of all.
    int[] of(int warp) {
        return clocks[warp];
    }

    int clock(int warp) {
        return clocks[warp][warp];
    }

    /// What a warp did until now comes to a barrier.
    void arrive(int warp, int[] barrier) {
        join(barrier, clocks[warp]);
        clocks[warp][warp]++;
    }

    /// A warp goes on behind all that came to a barrier.
    void pass(int warp, int[] barrier) {
        join(clocks[warp], barrier);
    }

    /// A warp goes on behind so many products, or stores.
    void pass(int warp, int actor, int count) {
        clocks[warp][actor] = Math.max(clocks[warp][actor], count);
    }

    static void join(int[] to, int[] from) {
        for (int i = 0; i < to.length; i++) {
            to[i] = Math.max(to[i], from[i]);
        }
    }

    static void clear(int[] barrier) {
        Arrays.fill(barrier, 0);
    }
}
