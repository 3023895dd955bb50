package io.penstock.shard.backend.cpu;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/// Compressed keys and values of this rank's layers: one row a position, in blocks that sequences own through their
/// block tables. f32. Every rank of a stage holds the same.
final class LatentCache {
    private final MemorySegment floats;
    private final int size;
    private final int blockSize;
    private final int blocks;

    /// @param size elements of a position
    LatentCache(int layers, int size, int blockSize, int blocks, Arena arena) {
        this.size = size;
        this.blockSize = blockSize;
        this.blocks = blocks;
        floats =
                DeviceMemory.allocate(Math.multiplyExact(bytesPerBlock(layers, size, blockSize), (long) blocks), arena);
    }

    static long bytesPerBlock(int layers, int size, int blockSize) {
        return Math.multiplyExact((long) layers * blockSize, (long) size * Float.BYTES);
    }

    void write(int layer, int[] blockTable, int position, float[] row, int offset) {
        MemorySegment.copy(row, offset, floats, KvCache.FLOAT, at(layer, blockTable, position), size);
    }

    void read(int layer, int[] blockTable, int position, float[] row) {
        MemorySegment.copy(floats, KvCache.FLOAT, at(layer, blockTable, position), row, 0, size);
    }

    private long at(int layer, int[] blockTable, int position) {
        long block = (long) layer * blocks + blockTable[position / blockSize];
        return (block * blockSize + position % blockSize) * size * Float.BYTES;
    }
}
