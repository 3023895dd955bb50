package io.penstock.shard.backend.cuda;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.penstock.shard.backend.cuda.CublasLt.Extents;
import io.penstock.shard.backend.cuda.CublasLt.Operands;
import io.penstock.shard.backend.cuda.CublasLt.Operation;
import io.penstock.shard.backend.cuda.CublasLt.Outputs;
import io.penstock.shard.backend.cuda.Launcher.Grid;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/// Our own products of gates and ups with more than [StreamedProducts#MAX_VECTORS] vectors (`gated.cu`), which join
/// them where the sums are: at the tensor cores' rate, a block a multiprocessor, in clusters of two that share weights.
/// On Hopper, of bf16. For one thread.
final class GatedProducts {
    /// Vectors of a block's tile.
    static final int BLOCK_VECTORS = 128;

    /// Of a tile.
    static final int ROWS = 256;
    /// Of 64 columns of both.
    static final int STAGES = 4;

    static final int CLUSTER = 2;
    static final int THREADS = 3 * 128;
    /// Vectors of a warp's results, which are stored at once.
    static final int WARP_VECTORS = 16;

    private static final int SLICE_BYTES = TensorMap.BLOCK_BYTES;
    private static final int SLICE_COLUMNS = SLICE_BYTES / 2;
    // The ring; results of bf16, of half as many features as rows.
    private static final int SHARED_BYTES =
            STAGES * (BLOCK_VECTORS + ROWS) * SLICE_BYTES + BLOCK_VECTORS * ROWS / 2 * 2;
    private static final int ARGUMENT_BYTES = 12;

    private final CudaDevice device;
    private final Kernel kernel;
    private final MemorySegment weightsMap;
    private final MemorySegment vectorsMap;
    private final MemorySegment outputsMap;
    private final MemorySegment argument;

    GatedProducts(CudaDevice device, CudaModules modules, Arena arena) {
        this.device = device;
        kernel = modules.following("gated", "gatedBf16", SHARED_BYTES);
        weightsMap = arena.allocate(TensorMap.BYTES, TensorMap.ALIGNMENT);
        vectorsMap = arena.allocate(TensorMap.BYTES, TensorMap.ALIGNMENT);
        outputsMap = arena.allocate(TensorMap.BYTES, TensorMap.ALIGNMENT);
        argument = arena.allocate(ARGUMENT_BYTES, 4);
    }

    static boolean serves(Extents extents) {
        return extents.outputs() == Outputs.ACTIVATED
                && extents.operands() == Operands.BF16
                && extents.vectors() > StreamedProducts.MAX_VECTORS
                && extents.rows() % WeightFormat.TILE == 0
                && extents.columns() % SLICE_COLUMNS == 0;
    }

    /// Puts a product on the device's stream.
    void run(Extents extents, Operation operation) {
        int vectors = extents.vectors();
        int rows = extents.rows();
        long rowBytes = 2L * extents.columns();
        TensorMap.encode(device, weightsMap, operation.matrix(), rowBytes, rows, ROWS / CLUSTER, 1);
        TensorMap.encode(device, vectorsMap, operation.inputs(), rowBytes, vectors, BLOCK_VECTORS, 1);
        TensorMap.encodeRows(
                device, outputsMap, operation.outputs(), rows, 2L * extents.stride(), vectors, WARP_VECTORS);
        argument.set(JAVA_INT, 0, rows);
        argument.set(JAVA_INT, 4, extents.columns() / SLICE_COLUMNS);
        argument.set(JAVA_INT, 8, vectors);
        int tiles = ((vectors + CLUSTER * BLOCK_VECTORS - 1) / (CLUSTER * BLOCK_VECTORS)) * ((rows + ROWS - 1) / ROWS);
        int clusters = Math.clamp(device.multiprocessors() / CLUSTER, 1, tiles);
        device.launch(
                kernel,
                new Grid(CLUSTER * clusters, 1, 1, THREADS, SHARED_BYTES),
                weightsMap,
                vectorsMap,
                outputsMap,
                argument);
    }
}
