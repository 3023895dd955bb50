package io.penstock.shard.backend.cuda.ptx;

import java.lang.foreign.MemorySegment;

/// Tensor maps as kernels that are interpreted take them.
public final class TensorMaps {
    private TensorMaps() {}

    /// @param to receives 128 bytes
    /// @param type 0 for bytes, 4 for words of 8
    /// @param swizzle 0 for none, 3 for the one of 128 bytes
    /// @param extents of each of three dimensions, in elements, the innermost first
    /// @param strides in bytes, of each dimension but the innermost
    /// @param box its extents, in elements
    public static void encode(
            MemorySegment to, long address, int type, int swizzle, long[] extents, long[] strides, int[] box) {
        if (extents.length != 3 || (type != 0 && type != 4) || (swizzle != 0 && swizzle != 3)) {
            throw new PtxFault("a tensor map of %d dimensions, type %d, swizzle %d", extents.length, type, swizzle);
        }
        int bytes = type == 0 ? 1 : Long.BYTES;
        for (int extent : box) {
            if (extent < 1 || extent > 256) {
                throw new PtxFault("a box of %d elements in a dimension: 256 are the most", extent);
            }
        }
        TensorBox.encode(
                to,
                address,
                new long[] {bytes * extents[0], extents[1], extents[2]},
                strides,
                new int[] {bytes * box[0], box[1], box[2]},
                swizzle == 3);
    }
}
