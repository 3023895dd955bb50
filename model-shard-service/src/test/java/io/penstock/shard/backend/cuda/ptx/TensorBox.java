package io.penstock.shard.backend.cuda.ptx;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.MemorySegment;

/// A box of a tensor of bytes with three extents, as a tensor map of this interpreter's own says: the driver's has a
/// form that is nowhere documented.
final class TensorBox {
    private static final long MAGIC = 0x70656e73746f636bL;
    private static final int PIECE = 16;

    private final long address;
    private final long[] extents;
    private final long[] strides;
    private final int[] box;
    private final int[] at;
    private final boolean permuted;

    private TensorBox(long address, long[] extents, long[] strides, int[] box, int[] at, boolean permuted) {
        this.address = address;
        this.extents = extents;
        this.strides = strides;
        this.box = box;
        this.at = at;
        this.permuted = permuted;
    }

    /// @param extents in bytes, rows, blocks
    /// @param strides in bytes, from row to row and from block to block
    /// @param permuted whether the 16-byte pieces of 128 bytes are permuted by bits 7 to 9 of the shared address
    static void encode(MemorySegment to, long address, long[] extents, long[] strides, int[] box, boolean permuted) {
        if (address % PIECE != 0 || strides[0] % PIECE != 0 || strides[1] % PIECE != 0) {
            throw new PtxFault("a tensor at %x with strides of %d and %d", address, strides[0], strides[1]);
        }
        if (box[0] % PIECE != 0 || (permuted && box[0] != 128)) {
            throw new PtxFault("a box of %d x %d x %d", box[0], box[1], box[2]);
        }
        to.set(JAVA_LONG, 0, MAGIC);
        to.set(JAVA_LONG, 8, address);
        for (int i = 0; i < 3; i++) {
            to.set(JAVA_LONG, 16 + 8L * i, extents[i]);
            to.set(JAVA_INT, 64 + 4L * i, box[i]);
        }
        to.set(JAVA_LONG, 40, strides[0]);
        to.set(JAVA_LONG, 48, strides[1]);
        to.set(JAVA_INT, 76, permuted ? 1 : 0);
    }

    static TensorBox read(Warp w, long map) {
        long from;
        if ((map & MemoryOps.PARAMETER_WINDOW) == MemoryOps.PARAMETER_WINDOW) {
            from = w.launch.parameters(map - MemoryOps.PARAMETER_WINDOW, 128);
        } else {
            w.launch.space.find(map, 128);
            from = map;
        }
        if (map % 64 != 0 || longAt(from) != MAGIC) {
            throw new PtxFault("no tensor map at %x", map);
        }
        long[] extents = new long[3];
        int[] box = new int[3];
        for (int i = 0; i < 3; i++) {
            extents[i] = longAt(from + 16 + 8L * i);
            box[i] = DeviceSpace.ALL.get(DeviceSpace.INT, from + 64 + 4L * i);
        }
        return new TensorBox(
                longAt(from + 8),
                extents,
                new long[] {longAt(from + 40), longAt(from + 48)},
                box,
                new int[3],
                DeviceSpace.ALL.get(DeviceSpace.INT, from + 76) != 0);
    }

    private static long longAt(long at) {
        return DeviceSpace.ALL.get(DeviceSpace.LONG, at);
    }

    TensorBox at(int x, int y, int z) {
        if (x % PIECE != 0) {
            throw new PtxFault("a box from byte %d of a row", x);
        }
        return new TensorBox(address, extents, strides, box, new int[] {x, y, z}, permuted);
    }

    int bytes() {
        return box[0] * box[1] * box[2];
    }

    private boolean inside(int x, int y, int z) {
        return at[0] + x >= 0
                && at[0] + x < extents[0]
                && at[1] + y >= 0
                && at[1] + y < extents[1]
                && at[2] + z >= 0
                && at[2] + z < extents[2];
    }

    private long source(int x, int y, int z) {
        return address + at[0] + x + (at[1] + y) * strides[0] + (at[2] + z) * strides[1];
    }

    void check(DeviceSpace space) {
        for (int z = 0; z < box[2]; z++) {
            for (int y = 0; y < box[1]; y++) {
                if (inside(0, y, z)) {
                    space.find(source(0, y, z), Math.min(box[0], extents[0] - at[0]));
                }
            }
        }
    }

    void copy(SharedMemory shared, int target) {
        each(target, (place, from) -> {
            shared.putLong(place, from == 0 ? 0 : longAt(from));
            shared.putLong(place + 8, from == 0 ? 0 : longAt(from + 8));
        });
    }

    /// What is inside of the tensor.
    void store(SharedMemory shared, int source) {
        each(source, (place, to) -> {
            if (to != 0) {
                DeviceSpace.ALL.set(DeviceSpace.LONG, to, shared.longAt(place));
                DeviceSpace.ALL.set(DeviceSpace.LONG, to + 8, shared.longAt(place + 8));
            }
        });
    }

    private interface Piece {
        /// @param place index in shared memory
        /// @param address in the tensor, or 0 outside of it
        void run(int place, long address);
    }

    private void each(int address, Piece piece) {
        for (int z = 0; z < box[2]; z++) {
            for (int y = 0; y < box[1]; y++) {
                for (int x = 0; x < box[0]; x += PIECE) {
                    int at = address + (z * box[1] + y) * box[0] + x;
                    int place = (permuted ? at ^ (at >> 7 & 7) << 4 : at) - SharedMemory.BASE;
                    piece.run(place, inside(x, y, z) ? source(x, y, z) : 0);
                }
            }
        }
    }
}
