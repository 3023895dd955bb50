package io.penstock.shard.backend.cuda.ptx;

import java.util.ArrayList;
import java.util.List;

/// Blocks that run at once, copy into one another's shared memory and meet: one, where a kernel does not say more.
final class Cluster {
    final Launch launch;
    final Clocks clocks;
    private final List<Block> blocks = new ArrayList<>();
    private final int[] come;
    private final int[] passed;
    private int arrived;
    /// Of its barrier: how often all have come.
    private int phase;

    /// @param first block's place in the grid; others follow it by x
    Cluster(Launch launch, int size, int[] first) {
        this.launch = launch;
        int warps = (launch.threads + Warp.LANES - 1) / Warp.LANES;
        clocks = new Clocks(size * warps, size * ((warps + Block.GROUP - 1) / Block.GROUP));
        come = clocks.nothing();
        passed = clocks.nothing();
        for (int rank = 0; rank < size; rank++) {
            blocks.add(new Block(this, rank, first[0] + rank, first[1], first[2]));
        }
    }

    List<Block> blocks() {
        return blocks;
    }

    /// Those of a mask, which must be there still.
    List<Block> blocks(int mask) {
        if (mask == 0 || mask >>> blocks.size() != 0) {
            throw new PtxFault("blocks %x of a cluster of %d", mask, blocks.size());
        }
        List<Block> some = new ArrayList<>();
        for (int rank = 0; rank < blocks.size(); rank++) {
            if ((mask >> rank & 1) != 0) {
                some.add(block(rank));
            }
        }
        return some;
    }

    /// One that must be there still: what another one does in its shared memory would be done in nobody's.
    Block block(int rank) {
        if (rank >= blocks.size()) {
            throw new PtxFault("block %d of a cluster of %d", rank, blocks.size());
        }
        Block block = blocks.get(rank);
        if (block.hasEnded()) {
            throw new PtxFault("block %d of the cluster has ended", rank);
        }
        return block;
    }

    /// A warp comes to the barrier, and may go on until it waits.
    void arrive(Warp warp) {
        if (warp.clusterPhase > phase) {
            throw new PtxFault("a warp comes to the cluster's barrier twice");
        }
        warp.clusterPhase = phase + 1;
        arrived++;
        clocks.arrive(warp.actor, come);
        launch.progress++;
        complete();
    }

    /// @return whether all have come
    boolean await(Warp warp) {
        if (warp.clusterPhase > phase) {
            return false;
        }
        clocks.pass(warp.actor, passed);
        return true;
    }

    /// A warp has ended: nobody waits for it.
    void left() {
        complete();
    }

    private void complete() {
        int expected = 0;
        for (Block block : blocks) {
            for (Warp warp : block.warps) {
                expected += warp.done() ? 0 : 1;
            }
        }
        if (arrived > 0 && arrived >= expected) {
            arrived = 0;
            phase++;
            Clocks.clear(passed);
            Clocks.join(passed, come);
            Clocks.clear(come);
        }
    }
}
