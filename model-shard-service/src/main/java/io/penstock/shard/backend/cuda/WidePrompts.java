package io.penstock.shard.backend.cuda;

import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.cuda.Launcher.Grid;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/// Attention of rows of many queries by `prompts.cu`: a block a multiprocessor, which takes 128 queries at a time, by
/// warpgroups' products. On Hopper, for keys and values of bf16 in KV blocks that parts of tiles, or whole tiles, come
/// from.
final class WidePrompts {
    /// That a block takes at a time.
    static final int QUERIES = 128;

    private static final int KEYS = 128;
    private static final int THREADS = 3 * 128;

    private final CudaDevice device;
    private final Kernel kernel;
    private final int kvHeads;
    private final int sharedBytes;
    private final long tickets;
    // Of each layer.
    private final MemorySegment[] keys;
    private final MemorySegment[] values;

    private WidePrompts(
            CudaDevice device,
            CudaModules modules,
            ShardShape shape,
            StepLimits limits,
            StepMemory memory,
            Arena arena) {
        this.device = device;
        kvHeads = shape.kvHeads();
        tickets = memory.promptTickets();
        int head = shape.headSize();
        sharedBytes = sharedBytes(head);
        kernel = modules.following("prompts", "prompts" + head, sharedBytes);
        keys = new MemorySegment[shape.layers()];
        values = new MemorySegment[shape.layers()];
        long rows = memory.cacheLayer() / (2L * head);
        int boxRows = Math.min(KEYS, limits.blockSize());
        for (int layer = 0; layer < keys.length; layer++) {
            keys[layer] = map(memory.keys(layer), head, rows, boxRows, arena);
            values[layer] = map(memory.values(layer), head, rows, boxRows, arena);
        }
    }

    /// @return null where it does not serve, or is switched off by `-Dpenstock.cuda.wide-prompts=false`
    static WidePrompts of(
            CudaDevice device,
            CudaModules modules,
            ShardShape shape,
            StepLimits limits,
            CudaOptions.Kv kv,
            StepMemory memory,
            Arena arena) {
        return StepMemory.tilesAreWhole(limits.blockSize(), KEYS)
                        && kv == CudaOptions.Kv.BF16
                        && device.computeCapability() == CudaDevice.HOPPER
                        && Boolean.parseBoolean(System.getProperty("penstock.cuda.wide-prompts", "true"))
                ? new WidePrompts(device, modules, shape, limits, memory, arena)
                : null;
    }

    // The cache's rows are permuted already, as tensor cores take them.
    private MemorySegment map(long address, int head, long rows, int boxRows, Arena arena) {
        MemorySegment map = arena.allocate(TensorMap.BYTES, TensorMap.ALIGNMENT);
        TensorMap.encodePlain(device, map, address, 2L * head, rows, boxRows);
        return map;
    }

    /// Queries of two turns, and two tiles of keys and values, of smaller heads four.
    private static int sharedBytes(int headSize) {
        return 2 * 2 * QUERIES * headSize + 2 * 2 * KEYS * headSize * (256 / headSize);
    }

    /// As [ForwardPass] has the arguments of the kernel that this stands for.
    ///
    /// @param items tiles of [#QUERIES] at most, a key/value head
    void run(int items, int layer, MemorySegment step, MemorySegment cache, long queries, long attended, float scale) {
        int blocks = Math.min(device.multiprocessors(), Math.multiplyExact(items, kvHeads));
        device.launch(
                kernel,
                new Grid(blocks, 1, 1, THREADS, sharedBytes),
                keys[layer],
                values[layer],
                step,
                cache,
                queries,
                tickets,
                attended,
                scale);
    }
}
