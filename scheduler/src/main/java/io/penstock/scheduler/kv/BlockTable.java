package io.penstock.scheduler.kv;

import java.util.Arrays;

/// The KV blocks of one sequence, in order of its positions: entry i holds positions `[i * blockSize,
/// (i+1) * blockSize)`.
public final class BlockTable {
    private int[] blocks = new int[8];
    private int size;

    public int size() {
        return size;
    }

    public int block(int index) {
        if (index >= size) {
            throw new IndexOutOfBoundsException("entry %d of a block table of %d".formatted(index, size));
        }
        return blocks[index];
    }

    public void append(int block) {
        if (size == blocks.length) {
            blocks = Arrays.copyOf(blocks, 2 * size);
        }
        blocks[size++] = block;
    }

    /// Gives all blocks back.
    ///
    /// @param lastStep the last step that the sequence was part of
    public void releaseAll(BlockPool pool, long lastStep) {
        for (int i = 0; i < size; i++) {
            pool.release(blocks[i], lastStep);
        }
        size = 0;
    }

    /// Forgets all blocks: the pool they came from is gone.
    public void clear() {
        size = 0;
    }

    /// Blocks that `tokens` positions fill.
    public static int blocksFor(int tokens, int blockSize) {
        return Math.ceilDiv(tokens, blockSize);
    }
}
