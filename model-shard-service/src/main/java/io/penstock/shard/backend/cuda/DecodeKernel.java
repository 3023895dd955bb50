package io.penstock.shard.backend.cuda;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.cuda.CudaDevice.HostMemory;
import io.penstock.shard.backend.cuda.Launcher.Grid;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.StringJoiner;
import jcuda.driver.CUevent;

/// The persistent decode kernel (decode.cu): a whole step of one or two sequences in one launch, for a
/// rank that is
/// alone on a Hopper GPU. Put together from the model's description as a list of phases.
final class DecodeKernel {
    private static final int SHARED_BYTES = 227 * 1024;
    private static final int COMPUTE_CAPABILITY = 90;

    private static final int PHASE_BYTES = 32;
    private static final int QKV = 0;
    private static final int ATTENTION = 1;
    private static final int OUTPUT = 2;
    private static final int GATE_UP = 3;
    private static final int DOWN = 4;
    private static final int LOGITS = 5;

    private final CudaDevice device;
    private final StepMemory memory;
    private final int grid;
    private final int maxVectors;
    private final List<Phase> phases;
    private final Kernel[] kernels;
    private final int[] shared;
    private final int[] vectorBytes;
    private final DecodeTiling tiling;
    private final MemorySegment stepArgument;
    private final MemorySegment argument;
    private int depth = 2;
    private int ahead = 1;
    private String tuning = "";

    private DecodeKernel(
            CudaDevice device,
            CudaModules modules,
            ShardShape shape,
            DeviceWeights weights,
            StepMemory memory,
            StepLimits limits,
            DecodeTiling tiling,
            int maxVectors,
            Arena arena) {
        this.device = device;
        this.memory = memory;
        this.maxVectors = maxVectors;
        grid = device.multiprocessors();
        this.tiling = tiling;
        kernels = new Kernel[maxVectors + 1];
        shared = new int[maxVectors + 1];
        vectorBytes = new int[maxVectors + 1];
        for (int vectors = 1; vectors <= maxVectors; vectors++) {
            vectorBytes[vectors] = vectorBytes(shape, vectors);
            shared[vectors] = sharedBytes(shape, tiling, vectors);
            kernels[vectors] =
                    modules.kernel(tiling.source(), "decode" + shape.headSize() + "x" + vectors, shared[vectors]);
        }
        phases = phases(shape, weights);
        tell(phases);
        stepArgument = arena.allocate(16, 8);
        argument = arena.allocate(200, 8);
        describe(shape, weights, limits, phases.size());
    }

    private void tell(List<Phase> list) {
        HostMemory host = device.allocateHost(PHASE_BYTES * list.size());
        for (int i = 0; i < list.size(); i++) {
            list.get(i).write(host.segment(), (long) i * PHASE_BYTES);
        }
        device.upload(memory.decodePhases(), host, (long) PHASE_BYTES * list.size());
        device.synchronize();
        device.free(host);
    }

    /// @return the kernel, or null where it does not serve
    static DecodeKernel of(
            CudaDevice device,
            CudaModules modules,
            ShardShape shape,
            DeviceWeights weights,
            StepMemory memory,
            StepLimits limits,
            Arena arena) {
        DecodeTiling tiling = DecodeTiling.chosen();
        int vectors = vectors(device, shape, tiling);
        return vectors == 0
                ? null
                : new DecodeKernel(device, modules, shape, weights, memory, limits, tiling, vectors, arena);
    }

    /// How many sequences a step may have; 0 where the kernel does not serve this device or model at all.
    private static int vectors(CudaDevice device, ShardShape shape, DecodeTiling tiling) {
        boolean whole = shape.slice().embeds()
                && shape.slice().samples()
                && shape.vocabulary() == shape.config().vocabularySize()
                && shape.heads() == shape.config().heads();
        if (!whole
                || device.computeCapability() != COMPUTE_CAPABILITY
                || shape.group() > ShardShape.QUERY_TILE
                || shape.hidden() > tiling.maxHidden()) {
            return 0;
        }
        int vectors = 2;
        while (vectors > 0
                && (sharedBytes(shape, tiling, vectors) > SHARED_BYTES
                        || vectors * shape.kvHeads() > device.multiprocessors())) {
            vectors--;
        }
        return vectors;
    }

    private static int widest(ShardShape shape) {
        return Math.max(Math.max(shape.hidden(), shape.intermediate()), shape.attentionSize());
    }

    private static int vectorBytes(ShardShape shape, int vectors) {
        int tile = 2 * 2 * 64 * (shape.headSize() + 8);
        int bytes = Math.max(tile, 2 * vectors * (widest(shape) + 32));
        return (bytes + 127) / 128 * 128;
    }

    private static int sharedBytes(ShardShape shape, DecodeTiling tiling, int vectors) {
        return tiling.sharedBytes(shape.headSize()) + vectorBytes(shape, vectors);
    }

    /// Device bytes of the list of phases.
    static long phaseBytes(ShardShape shape) {
        return (long) PHASE_BYTES * (5 * shape.layers() + 1);
    }

    /// Device bytes of attention's parts, a head size of floats and a pair for each of 16 queries.
    static long partRows(ShardShape shape, int multiprocessors) {
        return ShardShape.QUERY_TILE * (multiprocessors + 2L * shape.kvHeads());
    }

    /// Device bytes of the counters, zero between steps.
    static long counterBytes(ShardShape shape) {
        return 4 * (2L * shape.kvHeads() + 2);
    }

    /// A row of the kernel's list.
    ///
    /// @param vector norm weights before the product, or the bias that attention adds to its inputs
    private record Phase(int type, int rows, int columns, int layer, long weights, long vector) {
        void write(MemorySegment to, long at) {
            to.set(JAVA_INT, at, type);
            to.set(JAVA_INT, at + 4, rows);
            to.set(JAVA_INT, at + 8, columns);
            to.set(JAVA_INT, at + 12, layer);
            to.set(JAVA_LONG, at + 16, weights);
            to.set(JAVA_LONG, at + 24, vector);
        }
    }

    private static List<Phase> phases(ShardShape shape, DeviceWeights weights) {
        List<Phase> phases = new ArrayList<>();
        int hidden = shape.hidden();
        int qkv = shape.qkvSize();
        for (int i = 0; i < shape.layers(); i++) {
            DeviceWeights.Layer layer = weights.layers().get(i);
            phases.add(new Phase(QKV, qkv, hidden, i, layer.qkv(), layer.attentionNorm()));
            phases.add(new Phase(ATTENTION, qkv, 0, i, 0, layer.qkvBias()));
            phases.add(new Phase(OUTPUT, hidden, shape.attentionSize(), i, layer.output(), 0));
            phases.add(new Phase(GATE_UP, 2 * shape.intermediate(), hidden, i, layer.gateUp(), layer.mlpNorm()));
            phases.add(new Phase(DOWN, hidden, shape.intermediate(), i, layer.down(), 0));
        }
        phases.add(new Phase(LOGITS, shape.vocabulary(), hidden, 0, weights.output(), weights.outputNorm()));
        return phases;
    }

    private void describe(ShardShape shape, DeviceWeights weights, StepLimits limits, int phases) {
        long[] addresses = {
            memory.decodePhases(),
            weights.embedding(),
            memory.last(),
            memory.residual(),
            memory.decodeQkv(),
            memory.attended(),
            memory.activated(),
            memory.logits(),
            memory.decodeParts(),
            memory.decodePartSums(),
            memory.decodeCounters() + 8,
            memory.decodeCounters(),
            memory.rope(),
            memory.keys(0),
            memory.values(0),
            memory.table(),
            memory.cacheLayer() / 2
        };
        for (int i = 0; i < addresses.length; i++) {
            argument.set(JAVA_LONG, 8L * i, addresses[i]);
        }
        int[] numbers = {
            phases,
            memory.maxBlocks(),
            limits.blockSize(),
            shape.heads(),
            shape.kvHeads(),
            shape.hidden(),
            shape.config().vocabularySize(),
            switch (shape.config().ropeLayout()) {
                case HALVES -> 0;
                case INTERLEAVED -> 1;
            },
            tiling.slots(),
            depth,
            widest(shape),
            0,
            ahead
        };
        long at = 8L * addresses.length;
        for (int i = 0; i < numbers.length; i++) {
            argument.set(JAVA_INT, at + 4L * i, numbers[i]);
        }
        argument.set(JAVA_FLOAT, at + 52, (float) shape.config().rmsNormEpsilon());
        argument.set(JAVA_FLOAT, at + 56, (float) (1 / Math.log(2) / Math.sqrt(shape.headSize())));
    }

    boolean serves(StepBucket bucket) {
        return !bucket.prefill() && bucket.tokens() <= maxVectors;
    }

    /// Embedding to logits, for a step whose rows are of one token each.
    void launch(StepBucket bucket) {
        stepArgument.set(JAVA_LONG, 0, memory.words());
        stepArgument.set(JAVA_INT, 8, bucket.tokens());
        stepArgument.set(JAVA_INT, 12, bucket.rows());
        argument.set(JAVA_INT, 8L * 17 + 36, depth);
        argument.set(JAVA_INT, 8L * 17 + 44, vectorBytes[bucket.tokens()]);
        argument.set(JAVA_INT, 8L * 17 + 48, ahead);
        int vectors = bucket.tokens();
        device.launch(
                kernels[vectors], new Grid(grid, 1, 1, tiling.threads(), shared[vectors]), stepArgument, argument);
    }

    /// How many slots should be in flight differs by card and shape: tried on a step of one token,
    /// whose description
    /// is in place already.
    void tune(StepBucket bucket) {
        float best = Float.POSITIVE_INFINITY;
        int[] chosen = {depth, ahead};
        StringJoiner tried = new StringJoiner(", ");
        for (depth = 1; depth <= tiling.slots(); depth++) {
            for (ahead = 1; ahead <= depth; ahead++) {
                float millis = millis(bucket);
                tried.add("%d/%d %.3f".formatted(depth, ahead, millis));
                if (millis < best) {
                    best = millis;
                    chosen = new int[] {depth, ahead};
                }
            }
        }
        depth = chosen[0];
        ahead = chosen[1];
        tuning = "%d slots in flight, %d when ahead, of %s ms".formatted(depth, ahead, tried);
    }

    /// The kernel's own time, the shortest of a few runs.
    float millis(StepBucket bucket) {
        CUevent from = device.event();
        CUevent to = device.event();
        float best = Float.POSITIVE_INFINITY;
        launch(bucket);
        for (int run = 0; run < 4; run++) {
            device.record(from);
            launch(bucket);
            device.record(to);
            device.synchronize();
            best = Math.min(best, device.millisBetween(from, to));
        }
        device.destroy(from);
        device.destroy(to);
        return best;
    }

    /// Where a step's time goes: the kernel's time with some kinds of phases only. What it computes is
    /// worthless, and
    /// so are the sums it leaves: for measuring, before an epoch's end.
    ///
    /// @param kinds a bit for each kind of phase
    String profile(StepBucket bucket, int kinds) {
        List<Phase> some =
                phases.stream().filter(phase -> (kinds >> phase.type & 1) != 0).toList();
        tell(some);
        long at = 8L * 17;
        argument.set(JAVA_INT, at, some.size());
        float millis = millis(bucket);
        tell(phases);
        argument.set(JAVA_INT, at, phases.size());
        double bytes = some.stream()
                .mapToDouble(phase -> 2.0 * phase.rows * phase.columns)
                .sum();
        return "%.4f ms, %.3f TB/s, %d phases".formatted(millis, bytes / millis / 1e9, some.size());
    }

    /// For the log: what was chosen, and the times it was chosen by.
    String tuning() {
        return tuning;
    }
}
