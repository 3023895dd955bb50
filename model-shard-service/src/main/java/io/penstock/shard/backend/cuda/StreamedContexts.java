package io.penstock.shard.backend.cuda;

import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.cuda.Launcher.Grid;
import java.lang.foreign.MemorySegment;

/// Attention of rows of few queries by `contexts.cu`: two blocks a multiprocessor, each with an even share of all
/// contexts ([ContextShares]). On Hopper, for KV blocks that bulk copies can bring.
final class StreamedContexts {
    private static final int BLOCKS_A_MULTIPROCESSOR = 2;
    private static final int KEYS = ContextShares.KEYS_A_TILE;
    private static final int SHARED_BYTES = 112 * 1024;
    private static final int MOST_SLOTS = 6;

    private final CudaDevice device;
    private final Kernel kernel;
    private final Grid grid;

    private StreamedContexts(CudaDevice device, CudaModules modules, ShardShape shape, CudaOptions.Kv kv) {
        this.device = device;
        int shared = sharedBytes(shape.headSize(), kv);
        String kind = shape.headSize() + (kv == CudaOptions.Kv.FP8 ? "Fp8" : "");
        kernel = modules.following("contexts", "contexts" + kind, shared);
        grid = new Grid(blocks(device.multiprocessors()), 1, 1, 128 + 32, shared);
    }

    /// @return null where it does not serve, or is switched off by `-Dpenstock.cuda.streamed-contexts=false`
    static StreamedContexts of(
            CudaDevice device, CudaModules modules, ShardShape shape, StepLimits limits, CudaOptions.Kv kv) {
        return StepMemory.tilesAreWhole(limits.blockSize(), KEYS)
                        && device.computeCapability() == CudaDevice.HOPPER
                        && Boolean.parseBoolean(System.getProperty("penstock.cuda.streamed-contexts", "true"))
                ? new StreamedContexts(device, modules, shape, kv)
                : null;
    }

    static int blocks(int multiprocessors) {
        return Math.min(ContextShares.MOST, BLOCKS_A_MULTIPROCESSOR * multiprocessors);
    }

    /// Rows of a head size that parts of cut contexts take: two of each block.
    static long partRows(int multiprocessors) {
        return 2L * blocks(multiprocessors) * ShardShape.QUERY_TILE;
    }

    /// Of as many slots as fit, each with a tile of keys and values and a row's queries.
    static int sharedBytes(int headSize, CudaOptions.Kv kv) {
        int slot = 2 * KEYS * headSize * kv.bytes() + ShardShape.QUERY_TILE * (2 * headSize + 16);
        return Math.min(MOST_SLOTS, SHARED_BYTES / slot) * slot;
    }

    /// As [ForwardPass] has the arguments of the kernel that this stands for.
    void run(MemorySegment step, MemorySegment cache, long queries, MemorySegment parts, long attended, float scale) {
        device.launch(kernel, grid, step, cache, queries, parts, attended, scale);
    }
}
