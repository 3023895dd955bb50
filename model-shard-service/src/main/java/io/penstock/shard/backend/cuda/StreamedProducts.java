package io.penstock.shard.backend.cuda;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.penstock.shard.backend.cuda.CublasLt.Extents;
import io.penstock.shard.backend.cuda.CublasLt.Operands;
import io.penstock.shard.backend.cuda.CublasLt.Operation;
import io.penstock.shard.backend.cuda.Launcher.Grid;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// Our own products of a matrix with up to 128 vectors (`gemm.cu`), which wait for the memory and for nothing else: a
/// block
/// a multiprocessor, weights on their way before the vectors are there, gates applied where sums are. On Hopper. For
/// one
/// thread.
final class StreamedProducts {
    static final int MAX_VECTORS = 128;

    private static final int TILE_ROWS = 128;
    private static final int SLICE_BYTES = TensorMap.BLOCK_BYTES;
    private static final int THREADS = 256 + 32;
    private static final int MAX_STAGES = 12;
    // What a block may have, but for the barriers.
    private static final int SHARED_BYTES = 225 * 1024;
    private static final int HOPPER = 90;
    private static final List<Tiling> TILINGS =
            List.of(new Tiling(16, 2), new Tiling(32, 2), new Tiling(64, 2), new Tiling(MAX_VECTORS, 1));

    private final CudaDevice device;
    private final long parts;
    private final long flags;
    private final MemorySegment weightsMap;
    private final MemorySegment vectorsMap;
    private final MemorySegment argument;
    private final Map<Operands, Map<Tiling, Kernel>> kernels = new EnumMap<>(Operands.class);

    /// @param parts device address of [#partBytes]
    /// @param flags device address of a word for each multiprocessor, zero
    private StreamedProducts(CudaDevice device, CudaModules modules, long parts, long flags, Arena arena) {
        this.device = device;
        this.parts = parts;
        this.flags = flags;
        weightsMap = arena.allocate(TensorMap.BYTES, TensorMap.ALIGNMENT);
        vectorsMap = arena.allocate(TensorMap.BYTES, TensorMap.ALIGNMENT);
        argument = arena.allocate(64, 8);
        for (Operands operands : Operands.values()) {
            String name = switch (operands) {
                case BF16 -> "gemmBf16_";
                case FP8 -> "gemmE4m3_";
            };
            Map<Tiling, Kernel> each = new HashMap<>();
            for (Tiling tiling : TILINGS) {
                each.put(tiling, modules.following("gemm", name + tiling.vectors, tiling.sharedBytes()));
            }
            kernels.put(operands, each);
        }
    }

    /// @param workspace device address of at least [#partBytes], free whenever a product runs
    /// @return null on devices for which there are none
    static StreamedProducts of(CudaDevice device, CudaModules modules, long workspace, long flags, Arena arena) {
        return device.computeCapability() == HOPPER
                ? new StreamedProducts(device, modules, workspace, flags, arena)
                : null;
    }

    /// Of sums that blocks leave one another.
    static long partBytes(int multiprocessors) {
        return 4L * multiprocessors * TILE_ROWS * MAX_VECTORS;
    }

    /// Vectors of an instruction, slices of 128 bytes of a stage.
    private record Tiling(int vectors, int slices) {
        int stageBytes() {
            return (TILE_ROWS + vectors) * slices * SLICE_BYTES;
        }

        int stages() {
            return Math.min(MAX_STAGES, SHARED_BYTES / stageBytes());
        }

        int sharedBytes() {
            return stages() * stageBytes();
        }
    }

    boolean serves(Extents extents) {
        boolean stored = switch (extents.outputs()) {
            case F32, SUM -> true;
            case ACTIVATED -> extents.rows() % WeightFormat.TILE == 0;
            case BF16 -> false;
        };
        return stored && extents.vectors() <= MAX_VECTORS && rowBytes(extents) % SLICE_BYTES == 0;
    }

    private static long rowBytes(Extents extents) {
        return switch (extents.operands()) {
            case BF16 -> 2L * extents.columns();
            case FP8 -> extents.columns();
        };
    }

    /// Puts a product on the device's stream.
    void run(Extents extents, Operation operation) {
        Tiling tiling = TILINGS.stream()
                .filter(each -> each.vectors >= extents.vectors())
                .findFirst()
                .orElseThrow();
        long rowBytes = rowBytes(extents);
        TensorMap.encode(device, weightsMap, operation.matrix(), rowBytes, extents.rows(), TILE_ROWS, tiling.slices);
        TensorMap.encode(device, vectorsMap, operation.inputs(), rowBytes, extents.vectors(), tiling.vectors, 1);
        argument.set(JAVA_LONG, 0, operation.scales());
        argument.set(JAVA_LONG, 8, operation.inputScales());
        argument.set(JAVA_LONG, 16, operation.outputs());
        argument.set(JAVA_LONG, 24, parts);
        argument.set(JAVA_LONG, 32, flags);
        argument.set(JAVA_INT, 40, extents.rows());
        argument.set(JAVA_INT, 44, Math.toIntExact(rowBytes / SLICE_BYTES));
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
        device.launch(
                kernels.get(extents.operands()).get(tiling),
                new Grid(device.multiprocessors(), 1, 1, THREADS, tiling.sharedBytes()),
                weightsMap,
                vectorsMap,
                argument);
    }
}
