package io.penstock.shard.backend.cuda.ptx;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;

/// A kernel on its way: blocks that take turns, some instructions each, in an order that the seed decides.
final class Launch {
    private static final int TURN = 300;
    /// Turns without anything but waiting.
    private static final long PATIENCE = 400_000;

    final DeviceSpace space;
    final Program program;
    final int gridX;
    final int gridY;
    final int gridZ;
    final int threads;
    final int dynamicShared;
    final long parameters;
    final Random random;
    /// What threads did together, and each for itself.
    long instructions;
    long executed;
    /// Grows with whatever others may wait for.
    long progress;
    private Warp running;
    private long clock;
    final TensorCores.Scratch scratch = new TensorCores.Scratch();
    final int[] rows = new int[Warp.LANES];

    /// @param parameters address of the parameters
    Launch(DeviceSpace space, Program program, int[] grid, int threads, int dynamicShared, long parameters, long seed) {
        this.space = space;
        this.program = program;
        gridX = grid[0];
        gridY = grid[1];
        gridZ = grid[2];
        this.threads = threads;
        this.dynamicShared = dynamicShared;
        this.parameters = parameters;
        random = new Random(seed);
        if (threads > program.maxThreads()) {
            throw new PtxFault("%s: blocks of %d threads, at most %d", program.name(), threads, program.maxThreads());
        }
    }

    /// @param resident blocks at a time
    void run(int resident) {
        int size = program.cluster();
        if (gridX % size != 0) {
            throw new PtxFault("%s: %d blocks, in clusters of %d", program.name(), gridX, size);
        }
        List<int[]> left = new ArrayList<>();
        for (int z = 0; z < gridZ; z++) {
            for (int y = 0; y < gridY; y++) {
                for (int x = 0; x < gridX; x += size) {
                    left.add(new int[] {x, y, z});
                }
            }
        }
        Collections.shuffle(left, random);
        List<Block> blocks = new ArrayList<>();
        List<Warp> order = new ArrayList<>();
        long idle = 0;
        while (!left.isEmpty() || !blocks.isEmpty()) {
            while (!left.isEmpty() && blocks.size() + size <= Math.max(resident, size)) {
                blocks.addAll(new Cluster(this, size, left.removeLast()).blocks());
            }
            order.clear();
            for (Block block : blocks) {
                Collections.addAll(order, block.warps);
            }
            Collections.shuffle(order, random);
            long before = progress;
            boolean any = false;
            for (Warp warp : order) {
                if (!warp.done() && !warp.blocked) {
                    any = true;
                    warp.run(1 + random.nextInt(2 * TURN));
                }
            }
            blocks.forEach(Block::chance);
            blocks.removeIf(Block::done);
            idle = progress == before ? idle + 1 : 0;
            if (!blocks.isEmpty() && ((!any && idle > 1_000) || idle > PATIENCE)) {
                throw new PtxFault("%s: nothing moves any more:%s", program.name(), whereabouts(blocks));
            }
        }
    }

    /// A clock: it goes on whatever happens.
    long now() {
        return ++clock + 20 * instructions;
    }

    /// Where a parameter lies.
    long parameters(long offset, int bytes) {
        if (offset < 0 || offset + bytes > program.parameterBytes()) {
            throw new PtxFault("%d bytes at %d of %d of parameters", bytes, offset, program.parameterBytes());
        }
        return parameters + offset;
    }

    void stepping(Warp warp) {
        running = warp;
    }

    private static String whereabouts(List<Block> blocks) {
        StringBuilder text = new StringBuilder();
        for (Block block : blocks) {
            for (Warp warp : block.warps) {
                text.append("%n  block %d,%d,%d warp %d: %s"
                        .formatted(block.x, block.y, block.z, warp.number, warp.whereabouts()));
            }
        }
        return text.toString();
    }

    PtxFault located(PtxFault fault, Warp warp, Op op) {
        return new PtxFault(
                "%s, line %d (%s), block %d,%d,%d, threads %d to %d of mask %08x: %s"
                        .formatted(
                                program.name(),
                                op == null ? 0 : op.line,
                                op == null ? "" : op.text,
                                warp.block.x,
                                warp.block.y,
                                warp.block.z,
                                warp.number * Warp.LANES,
                                warp.number * Warp.LANES + Warp.LANES - 1,
                                warp.activeThreads(),
                                fault.getMessage()),
                fault);
    }

    Warp running() {
        return running;
    }
}
