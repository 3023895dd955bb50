package io.penstock.shard.backend.cpu;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/// Keys and values of this rank's layers and heads, in blocks that sequences own through their block
/// tables. f32.
///
/// A block of one layer and head holds its keys transposed, `[headSize, positions]`, so that the scores
/// of neighbouring positions are vector lanes, and behind them its values, `[positions, headSize]`, so
/// that the elements of a head are. Rows are padded to 16 floats.
public final class KvCache {
    static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final int ROW_MULTIPLE = 16;

    private final MemorySegment floats;
    private final int kvHeads;
    private final int headSize;
    private final int blockSize;
    private final int blocks;
    private final int keyStride;
    private final int valueStride;

    public KvCache(int layers, int kvHeads, int headSize, int blockSize, int blocks, Arena arena) {
        this.kvHeads = kvHeads;
        this.headSize = headSize;
        this.blockSize = blockSize;
        this.blocks = blocks;
        this.keyStride = padded(blockSize);
        this.valueStride = padded(headSize);
        long bytes = Math.multiplyExact(bytesPerBlock(layers, kvHeads, headSize, blockSize), (long) blocks);
        floats = DeviceMemory.allocate(bytes, arena);
    }

    /// What one more block costs.
    public static long bytesPerBlock(int layers, int kvHeads, int headSize, int blockSize) {
        long perHead = (long) headSize * padded(blockSize) + (long) blockSize * padded(headSize);
        return Math.multiplyExact(perHead * Float.BYTES, Math.multiplyExact((long) layers, (long) kvHeads));
    }

    private static int padded(int floats) {
        return Math.ceilDiv(floats, ROW_MULTIPLE) * ROW_MULTIPLE;
    }

    public MemorySegment floats() {
        return floats;
    }

    public int headSize() {
        return headSize;
    }

    /// Positions a block.
    public int blockSize() {
        return blockSize;
    }

    public int blocks() {
        return blocks;
    }

    /// Floats from the keys' element d to element d + 1, all positions of the block between.
    public int keyStride() {
        return keyStride;
    }

    /// Floats from one position's values to the next one's.
    public int valueStride() {
        return valueStride;
    }

    /// @return byte at which the keys begin
    public long keys(int layer, int block, int kvHead) {
        long perHead = (long) headSize * keyStride + (long) blockSize * valueStride;
        return (((long) layer * blocks + block) * kvHeads + kvHead) * perHead * Float.BYTES;
    }

    /// @return byte at which the values begin
    public long values(int layer, int block, int kvHead) {
        return keys(layer, block, kvHead) + (long) headSize * keyStride * Float.BYTES;
    }

    /// Writes one position of one head.
    ///
    /// @param index of the position within the block
    void write(
            int layer, int block, int kvHead, int index, float[] key, int keyOffset, float[] value, int valueOffset) {
        long at = keys(layer, block, kvHead) + (long) index * Float.BYTES;
        for (int d = 0; d < headSize; d++) {
            floats.set(FLOAT, at + (long) d * keyStride * Float.BYTES, key[keyOffset + d]);
        }
        long valuesAt = values(layer, block, kvHead) + (long) index * valueStride * Float.BYTES;
        MemorySegment.copy(value, valueOffset, floats, FLOAT, valuesAt, headSize);
    }
}
