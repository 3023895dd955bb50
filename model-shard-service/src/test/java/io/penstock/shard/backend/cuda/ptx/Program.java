package io.penstock.shard.backend.cuda.ptx;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Map;

/// A kernel, ready to run.
final class Program {
    /// The predicate that holds always.
    static final int TRUE = 0;

    private final String name;
    private final Op[] code;
    private final int maxThreads;
    private final int cluster;
    private final int ints;
    private final int longs;
    private final int predicates;
    private final Map<Integer, Integer> constants;
    private final Map<Long, Integer> longConstants;
    private final Map<String, Integer> specials;
    private final int sharedBytes;
    private final int localBytes;
    private final int parameterBytes;
    private final int[] parameterOffsets;
    private final int[] parameterSizes;
    private final Deque<Warp.Registers> free = new ArrayDeque<>();

    /// @param constants rows of registers that hold them
    /// @param specials rows of registers that hold what never changes for a thread
    Program(
            String name,
            Op[] code,
            int maxThreads,
            int cluster,
            int ints,
            int longs,
            int predicates,
            Map<Integer, Integer> constants,
            Map<Long, Integer> longConstants,
            Map<String, Integer> specials,
            int sharedBytes,
            int localBytes,
            int[] parameterOffsets,
            int[] parameterSizes) {
        this.name = name;
        this.code = code;
        this.maxThreads = maxThreads;
        this.cluster = cluster;
        this.ints = ints;
        this.longs = longs;
        this.predicates = predicates;
        this.constants = constants;
        this.longConstants = longConstants;
        this.specials = specials;
        this.sharedBytes = sharedBytes;
        this.localBytes = localBytes;
        this.parameterOffsets = parameterOffsets;
        this.parameterSizes = parameterSizes;
        int last = parameterOffsets.length - 1;
        parameterBytes = last < 0 ? 0 : parameterOffsets[last] + parameterSizes[last];
    }

    String name() {
        return name;
    }

    Op[] code() {
        return code;
    }

    int maxThreads() {
        return maxThreads;
    }

    /// Blocks of one.
    int cluster() {
        return cluster;
    }

    int ints() {
        return ints;
    }

    int longs() {
        return longs;
    }

    int predicates() {
        return predicates;
    }

    Map<Integer, Integer> constants() {
        return constants;
    }

    Map<Long, Integer> longConstants() {
        return longConstants;
    }

    int sharedBytes() {
        return sharedBytes;
    }

    int localBytes() {
        return localBytes;
    }

    int parameterBytes() {
        return parameterBytes;
    }

    int[] parameterOffsets() {
        return parameterOffsets;
    }

    int[] parameterSizes() {
        return parameterSizes;
    }

    Warp.Registers registers() {
        Warp.Registers registers = free.pollFirst();
        return registers == null ? new Warp.Registers(this) : registers;
    }

    void reuse(Warp.Registers registers) {
        free.addFirst(registers);
    }

    /// Sets what never changes for a thread.
    void special(Warp warp) {
        Block block = warp.block;
        Launch launch = block.launch;
        specials.forEach((name, row) -> {
            for (int lane = 0; lane < Warp.LANES; lane++) {
                warp.r[row + lane] = switch (name) {
                    case "%tid.x" -> warp.number * Warp.LANES + lane;
                    case "%tid.y", "%tid.z" -> 0;
                    case "%ntid.x" -> launch.threads;
                    case "%ntid.y", "%ntid.z" -> 1;
                    case "%ctaid.x" -> block.x;
                    case "%ctaid.y" -> block.y;
                    case "%ctaid.z" -> block.z;
                    case "%nctaid.x" -> launch.gridX;
                    case "%nctaid.y" -> launch.gridY;
                    case "%nctaid.z" -> launch.gridZ;
                    case "%cluster_ctarank" -> block.rank;
                    case "%laneid" -> lane;
                    case "%warpid" -> warp.number;
                    default -> throw new PtxFault("unknown register %s", name);
                };
            }
        });
    }
}
