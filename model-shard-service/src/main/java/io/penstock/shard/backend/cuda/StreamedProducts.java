package io.penstock.shard.backend.cuda;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.penstock.shard.backend.cuda.CublasLt.Extents;
import io.penstock.shard.backend.cuda.CublasLt.Operands;
import io.penstock.shard.backend.cuda.CublasLt.Operation;
import io.penstock.shard.backend.cuda.Launcher.Grid;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.Map;

/// Our own products of a matrix with up to 128 vectors (`gemm.cuh`), which wait for the memory and for
/// nothing else: a block a multiprocessor, weights on their way before the vectors are there, gates applied
/// where sums are, weights widened where they are multiplied. On Hopper. For one thread.
final class StreamedProducts {
    static final int MAX_VECTORS = ProductTiling.MAX_VECTORS;

    private static final int SLICE_BYTES = ProductTiling.SLICE_BYTES;
    private static final int ARGUMENT_BYTES = 72;

    private final CudaDevice device;
    private final long parts;
    private final long flags;
    private final MemorySegment weightsMap;
    private final MemorySegment vectorsMap;
    private final MemorySegment argument;
    private final Map<ProductTiling, Kernel> kernels = new HashMap<>();

    /// @param parts device address of at least [#partBytes], free whenever a product runs
    /// @param flags device address of a word for each multiprocessor, zero
    StreamedProducts(CudaDevice device, CudaModules modules, long parts, long flags, Arena arena) {
        this.device = device;
        this.parts = parts;
        this.flags = flags;
        weightsMap = arena.allocate(TensorMap.BYTES, TensorMap.ALIGNMENT);
        vectorsMap = arena.allocate(TensorMap.BYTES, TensorMap.ALIGNMENT);
        argument = arena.allocate(ARGUMENT_BYTES, 8);
        for (ProductTiling tiling : ProductTiling.ALL) {
            kernels.put(tiling, modules.following(tiling.source(), tiling.kernel(), tiling.sharedBytes()));
        }
    }

    /// Whether a device has them.
    static boolean isOn(CudaDevice device) {
        return device.computeCapability() == CudaDevice.HOPPER;
    }

    /// Of sums that blocks leave one another.
    static long partBytes(int multiprocessors) {
        return 4L
                * multiprocessors
                * ProductTiling.ALL.stream()
                        .mapToInt(tiling -> tiling.rows() * tiling.vectors())
                        .max()
                        .orElseThrow();
    }

    static boolean serves(Extents extents) {
        Operands operands = extents.operands();
        boolean stored = switch (extents.outputs()) {
            case F32, SUM -> true;
            case ACTIVATED -> extents.rows() % WeightFormat.TILE == 0;
            case BF16 -> false;
        };
        return stored
                && extents.vectors() <= MAX_VECTORS
                && operands.weights().serves(extents.columns())
                && vectorBytes(extents) % SLICE_BYTES == 0;
    }

    private static long vectorBytes(Extents extents) {
        return (long) extents.operands().vectorBytes() * extents.columns();
    }

    /// Puts a product on the device's stream.
    void run(Extents extents, Operation operation) {
        WeightFormat format = extents.operands().weights();
        ProductTiling tiling = ProductTiling.of(extents.operands(), extents.vectors());
        TensorMap.encode(
                device, vectorsMap, operation.inputs(), vectorBytes(extents), extents.vectors(), tiling.vectors(), 1);
        argument.set(JAVA_LONG, 0, operation.scales());
        argument.set(JAVA_LONG, 8, operation.inputScales());
        argument.set(JAVA_LONG, 16, operation.outputs());
        argument.set(JAVA_LONG, 24, parts);
        argument.set(JAVA_LONG, 32, flags);
        argument.set(JAVA_INT, 40, extents.rows());
        argument.set(JAVA_INT, 44, mapWeights(extents, format, operation.matrix(), tiling));
        argument.set(JAVA_INT, 48, extents.vectors());
        argument.set(JAVA_INT, 52, extents.stride());
        argument.set(
                JAVA_INT,
                56,
                switch (extents.outputs()) {
                    case F32 -> 0;
                    case SUM -> 1;
                    case ACTIVATED -> 2;
                    case BF16 -> throw new IllegalArgumentException("not served: " + extents);
                });
        argument.set(JAVA_INT, 60, tiling.stages());
        argument.set(JAVA_INT, 64, format.code());
        device.launch(
                kernels.get(tiling),
                new Grid(device.multiprocessors(), 1, 1, tiling.threads(), tiling.sharedBytes()),
                weightsMap,
                vectorsMap,
                argument);
    }

    /// @return slices or granules of a row
    private int mapWeights(Extents extents, WeightFormat format, long matrix, ProductTiling tiling) {
        if (format.hasRows()) {
            long rowBytes = format.bytes(1, extents.columns());
            TensorMap.encode(device, weightsMap, matrix, rowBytes, extents.rows(), tiling.rows(), tiling.depth());
            return Math.toIntExact(rowBytes / SLICE_BYTES);
        }
        int granules = extents.columns() / WeightFormat.GRANULE;
        TensorMap.encodeGranules(
                device,
                weightsMap,
                matrix,
                format,
                (extents.rows() + WeightFormat.TILE - 1) / WeightFormat.TILE,
                granules,
                tiling.depth(),
                tiling.rows() / WeightFormat.TILE);
        return granules;
    }
}
