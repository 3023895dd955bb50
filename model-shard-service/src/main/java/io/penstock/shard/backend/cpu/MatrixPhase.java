package io.penstock.shard.backend.cpu;

/// Products of several matrices of equally many columns with the same vectors, shared out among the
/// workers as evenly as panels and tiles of tokens allow. Set up by the calling thread, then run by
/// all.
final class MatrixPhase implements Workers.Phase {
    /// Tokens that are not parted between workers: the register tile of the kernels.
    private static final int TILE = 6;
    /// Below this many tokens, unpacking a panel twice costs more than an uneven share.
    private static final int LEAST_TO_PART = 4 * TILE;

    private final Kernels kernels;
    private final float[][] scratch;
    private final float[][] sums;
    private final float[][] lanes;
    private final PackedMatrix[] matrices = new PackedMatrix[3];
    private final float[][] targets = new float[3][];
    private int count;
    private int panels;
    private float[] x;
    private int xStride;
    private int tokens;
    private boolean needsSums;

    /// @param memory with scratch for each worker
    MatrixPhase(Kernels kernels, StepMemory memory) {
        this.kernels = kernels;
        scratch = memory.panelScratch;
        sums = memory.blockSums;
        lanes = memory.normScratch;
    }

    /// @param x `[tokens, xStride]`
    MatrixPhase begin(float[] x, int xStride, int tokens) {
        this.x = x;
        this.xStride = xStride;
        this.tokens = tokens;
        count = 0;
        panels = 0;
        needsSums = false;
        return this;
    }

    /// @param target receives `[tokens, matrix.paddedRows()]`
    MatrixPhase add(PackedMatrix matrix, float[] target) {
        matrices[count] = matrix;
        targets[count] = target;
        count++;
        panels += matrix.panels();
        needsSums |= matrix.elements().hasMinimum();
        return this;
    }

    @Override
    public void run(int worker, int workers) {
        int tile = tokens < LEAST_TO_PART ? tokens : TILE;
        int tiles = Math.ceilDiv(tokens, tile);
        long units = (long) panels * tiles;
        long unit = units * worker / workers;
        long end = units * (worker + 1) / workers;
        if (needsSums) {
            sumBlocks(worker);
        }
        while (unit < end) {
            int panel = (int) (unit / tiles);
            int firstTile = (int) (unit % tiles);
            int lastTile = (int) Math.min(tiles, firstTile + end - unit);
            multiply(worker, panel, firstTile * tile, Math.min(tokens, lastTile * tile));
            unit += lastTile - firstTile;
        }
    }

    // Each worker for itself: waiting for each other would take longer.
    private void sumBlocks(int worker) {
        int blocks = matrices[0].blocks();
        for (int token = 0; token < tokens; token++) {
            kernels.blockSums(x, token * xStride, blocks, sums[worker], token * blocks, lanes[worker]);
        }
    }

    private void multiply(int worker, int panel, int from, int to) {
        int index = 0;
        int inMatrix = panel;
        while (inMatrix >= matrices[index].panels()) {
            inMatrix -= matrices[index].panels();
            index++;
        }
        int yStride = matrices[index].paddedRows();
        int y = from * yStride + inMatrix * PackedMatrix.PANEL_ROWS;
        kernels.multiply(
                matrices[index],
                inMatrix,
                x,
                from * xStride,
                xStride,
                to - from,
                sums[worker],
                from * matrices[index].blocks(),
                targets[index],
                y,
                yStride,
                scratch[worker]);
    }
}
