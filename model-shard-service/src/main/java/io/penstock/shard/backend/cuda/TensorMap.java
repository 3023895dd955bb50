package io.penstock.shard.backend.cuda;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.Arrays;

/// How Hopper's copy engine cuts a box out of a matrix.
final class TensorMap {
    static final int BYTES = 128;
    static final int BLOCK_BYTES = 128;
    static final int ALIGNMENT = 64;

    private static final int TYPE_UINT8 = 0;
    private static final int TYPE_UINT64 = 4;
    private static final int INTERLEAVE_NONE = 0;
    private static final int SWIZZLE_NONE = 0;
    private static final int SWIZZLE_128B = 3;
    // Wider ones measured slower.
    private static final int PROMOTION_NONE = 0;
    private static final int FILL_ZERO = 0;

    private TensorMap() {}

    /// Of a row-major matrix: so many rows by so many blocks of 128 bytes, block behind block, the 16-byte
    /// pieces of a row permuted by the row's number. Rows past the matrix are zero.
    ///
    /// @param to receives [#BYTES], at a multiple of 64
    /// @param address of the matrix, a multiple of 16
    /// @param rowBytes a multiple of 16
    /// @param boxRows of a box, at most 256
    /// @param blocks of a box
    static void encode(
            CudaDevice device, MemorySegment to, long address, long rowBytes, long rows, int boxRows, int blocks) {
        long all = (rowBytes + BLOCK_BYTES - 1) / BLOCK_BYTES;
        device.encodeTensorMap(
                to,
                address,
                TYPE_UINT8,
                SWIZZLE_128B,
                new long[] {BLOCK_BYTES, rows, all},
                new long[] {rowBytes, BLOCK_BYTES},
                new int[] {BLOCK_BYTES, boxRows, blocks});
    }

    /// Boxes of one block of 128 bytes of so many rows, as they are stored.
    ///
    /// @param to receives [#BYTES], at a multiple of 64
    /// @param address of the matrix, a multiple of 16
    /// @param rowBytes a multiple of 128
    /// @param boxRows of a box, at most 256
    static void encodePlain(CudaDevice device, MemorySegment to, long address, long rowBytes, long rows, int boxRows) {
        device.encodeTensorMap(
                to,
                address,
                TYPE_UINT8,
                SWIZZLE_NONE,
                new long[] {BLOCK_BYTES, rows, rowBytes / BLOCK_BYTES},
                new long[] {rowBytes, BLOCK_BYTES},
                new int[] {BLOCK_BYTES, boxRows, 1});
    }

    /// Of a row-major matrix: so many rows by 128 bytes of each from any multiple of 16 on, pieces permuted as by
    /// [#encode]. What is past a row's end, or past the last row, is not stored.
    ///
    /// @param to receives [#BYTES], at a multiple of 64
    /// @param address of the matrix, a multiple of 16
    /// @param rowBytes that are stored of a row, a multiple of 16
    /// @param stride from a row to the next, in bytes, a multiple of 16
    /// @param boxRows of a box, at most 256
    static void encodeRows(
            CudaDevice device, MemorySegment to, long address, long rowBytes, long stride, long rows, int boxRows) {
        device.encodeTensorMap(
                to,
                address,
                TYPE_UINT8,
                SWIZZLE_128B,
                new long[] {rowBytes, rows, 1},
                new long[] {stride, rows * stride},
                new int[] {BLOCK_BYTES, boxRows, 1});
    }

    /// Of a matrix of int4: boxes of so many granules of so many tiles, tile behind tile. What is past the
    /// matrix is zero.
    ///
    /// @param to receives [#BYTES], at a multiple of 64
    /// @param address of the matrix, a multiple of 16
    /// @param boxGranules of a box
    /// @param boxTiles of a box
    static void encodeGranules(
            CudaDevice device,
            MemorySegment to,
            long address,
            WeightFormat format,
            long tiles,
            long granules,
            int boxGranules,
            int boxTiles) {
        // A box has at most 256 elements of each kind.
        int words = format.granuleBytes() / Long.BYTES;
        device.encodeTensorMap(
                to,
                address,
                TYPE_UINT64,
                SWIZZLE_NONE,
                new long[] {words, granules, tiles},
                new long[] {format.granuleBytes(), granules * format.granuleBytes()},
                new int[] {words, boxGranules, boxTiles});
    }

    /// [CudaDevice#encodeTensorMap] by the driver.
    ///
    /// @return its status
    static int encode(
            MemorySegment to, long address, int type, int swizzle, long[] extents, long[] strides, int[] box) {
        int[] steps = new int[extents.length];
        Arrays.fill(steps, 1);
        try (Arena arena = Arena.ofConfined()) {
            return (int) Driver.ENCODE.invokeExact(
                    to,
                    type,
                    extents.length,
                    address,
                    arena.allocateFrom(JAVA_LONG, extents),
                    arena.allocateFrom(JAVA_LONG, strides),
                    arena.allocateFrom(JAVA_INT, box),
                    arena.allocateFrom(JAVA_INT, steps),
                    INTERLEAVE_NONE,
                    swizzle,
                    PROMOTION_NONE,
                    FILL_ZERO);
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    // Apart, so that who only names boxes needs no driver.
    private static final class Driver {
        static final MethodHandle ENCODE = NativeLibrary.find("libcuda.so.1")
                .function(
                        "cuTensorMapEncodeTiled",
                        JAVA_INT,
                        ADDRESS,
                        JAVA_INT,
                        JAVA_INT,
                        JAVA_LONG,
                        ADDRESS,
                        ADDRESS,
                        ADDRESS,
                        ADDRESS,
                        JAVA_INT,
                        JAVA_INT,
                        JAVA_INT,
                        JAVA_INT);
    }
}
