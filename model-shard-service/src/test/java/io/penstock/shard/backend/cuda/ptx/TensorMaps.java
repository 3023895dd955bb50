package io.penstock.shard.backend.cuda.ptx;

import java.lang.foreign.MemorySegment;

/// Tensor maps as kernels that are interpreted take them.
public final class TensorMaps {
    private TensorMaps() {}

    /// @param to receives 128 bytes
    /// @param extents of each dimension, the innermost first
    /// @param strides in bytes, of each dimension but the innermost
    /// @param box its extents; 16-byte pieces of 128 bytes are permuted
    public static void encode(MemorySegment to, long address, long[] extents, long[] strides, int[] box) {
        TensorBox.encode(to, address, extents, strides, box, true);
    }
}
