package io.penstock.shard.backend.cuda;

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

/// The persistent decode kernel (decode.cu): a whole step of up to 16 sequences in one launch, on a
/// Hopper GPU or an A100, for a rank that is alone or meets its tensor-parallel peers on the devices. Put
/// together from the model's description as a list of phases.
///
/// Longer than other files: what lies where in decode.cu's arguments and shared memory is said here in one
/// place, to be read beside it.
final class DecodeKernel {
    static final int MAX_VECTORS = 16;
    static final int TRACE_BYTES = 512;

    private static final int KEYS_A_TILE = 64;
    private static final int MAX_SLOTS = 16;
    private static final int MIN_SLOTS = 2;
    private static final int MIN_SLOTS_WIDE = 4;
    /// Vectors that one instruction of the tensor cores takes.
    private static final int VECTORS_A_TILE = 8;

    private static final int PHASE_BYTES = 64;
    private static final int MAPS_A_MATRIX = 3;
    /// Of the columns that a block meets in a phase.
    static final int MAX_GRANULES = 64;
    /// What boxes are aligned to.
    private static final int SLOT_ALIGNMENT = 1_024;
    /// Slots, at most, that are sent ahead to the second-level cache.
    private static final int MAX_FETCHED = 6;
    /// Slots of keys and values in flight, to be measured.
    private static final String CONTEXT_DEPTH_PROPERTY = "penstock.cuda.context-depth";
    /// After which phases values carry numbers instead of a barrier, to be measured: 1 attention, 2 gates and ups.
    private static final String NUMBERED_PROPERTY = "penstock.cuda.numbered";
    private static final String[] KINDS = {"q/k/v", "attention", "output", "gate, up", "down", "logits", "sums"};
    private static final int QKV = 0;
    private static final int ATTENTION = 1;
    private static final int OUTPUT = 2;
    private static final int GATE_UP = 3;
    private static final int DOWN = 4;
    private static final int LOGITS = 5;
    private static final int SHARE = 6;

    private final CudaDevice device;
    private final StepMemory memory;
    private final int grid;
    private final int hidden;
    private final int slotBytes;
    private final int contextSlotBytes;
    private final List<Phase> phases;
    private final Setup[] setups;
    private final DecodeTiling tiling;
    private final MemorySegment stepArgument;
    private final MemorySegment argument;
    private final MemorySegment peersArgument;
    private int depth = 2;
    private int ahead = 1;
    private int fetched = 2;
    // Whether the device has bulk copies; else a warp's lanes fill the ring.
    private final boolean boxes;
    private String tuning = "";

    /// What a number of vectors is launched with.
    ///
    /// @param slots of the ring
    private record Setup(Kernel kernel, int sharedBytes, int slots, int vectorBytes, int sumFloats) {}

    private DecodeKernel(
            CudaDevice device,
            CudaModules modules,
            ShardShape shape,
            DeviceWeights weights,
            StepMemory memory,
            StepLimits limits,
            DecodeTiling tiling,
            Extents extents,
            DevicePeers peers,
            Arena arena) {
        this.device = device;
        this.memory = memory;
        grid = device.multiprocessors();
        hidden = shape.hidden();
        slotBytes = extents.slotBytes();
        contextSlotBytes = extents.contextSlotBytes();
        this.tiling = tiling;
        setups = new Setup[extents.vectors() + 1];
        for (int vectors = 1; vectors <= extents.vectors(); vectors++) {
            int slots = extents.slots(vectors);
            String name = "decode%dx%d%s"
                    .formatted(shape.headSize(), (vectors + VECTORS_A_TILE - 1) / VECTORS_A_TILE, formats(weights));
            int shared = extents.sharedBytes(vectors, slots);
            setups[vectors] = new Setup(
                    modules.kernel(tiling.source(), name, extents.shared()),
                    shared,
                    slots,
                    extents.vectorBytes(vectors),
                    tiling.sumFloats(shape.headSize(), vectors));
        }
        phases = phases(shape, weights, memory.decodeMaps(), peers != null);
        boxes = device.computeCapability() >= CudaDevice.HOPPER;
        if (boxes) {
            tellMaps(modules.kernel(tiling.source(), "acquireMaps"));
        }
        tell(phases);
        stepArgument = arena.allocate(16, 8);
        argument = arena.allocate(ARGUMENT_BYTES, 8);
        // A rank that is alone has no phase that looks at it.
        peersArgument = peers == null ? arena.allocate(DevicePeers.PEERS_BYTES, 8) : peers.argument();
        describe(shape, weights, limits, extents, peers == null ? memory.residual() : memory.partial());
    }

    // Kernels differ in what they can take besides bf16.
    private static String formats(DeviceWeights weights) {
        boolean eights = false;
        boolean fours = false;
        for (Matrix matrix : weights.matrices()) {
            switch (matrix.format()) {
                case BF16 -> {}
                case FP8_ROWS, FP8_BLOCKS -> eights = true;
                case INT4, INT4_ZEROS -> fours = true;
            }
        }
        return eights && fours ? "mixed" : eights ? "fp8" : fours ? "int4" : "";
    }

    private void tellMaps(Kernel acquire) {
        int count = MAPS_A_MATRIX * phases.size();
        HostMemory host = device.allocateHost(TensorMap.BYTES * count);
        for (Phase phase : phases) {
            if (phase.maps != 0) {
                phase.writeMaps(device, host.segment().asSlice(phase.maps - memory.decodeMaps()));
            }
        }
        device.upload(memory.decodeMaps(), host, (long) TensorMap.BYTES * count);
        device.launch(acquire, Grid.of(grid, 256), memory.decodeMaps(), count);
        device.synchronize();
        device.free(host);
    }

    private void tell(List<Phase> list) {
        HostMemory host = device.allocateHost(PHASE_BYTES * list.size());
        for (int i = 0; i < list.size(); i++) {
            boolean numbered = i + 1 < list.size() && isNumbered(list.get(i), list.get(i + 1));
            list.get(i).write(host.segment(), (long) i * PHASE_BYTES, numbered);
        }
        device.upload(memory.decodePhases(), host, (long) PHASE_BYTES * list.size());
        device.synchronize();
        device.free(host);
    }

    /// Whether all that a phase needs of the one before has one writer, and so no barrier between them.
    private static boolean isNumbered(Phase before, Phase phase) {
        int which = Integer.getInteger(NUMBERED_PROPERTY, 3);
        return (before.type == ATTENTION && phase.type == OUTPUT && (which & 1) != 0)
                || (before.type == GATE_UP && phase.type == DOWN && (which & 2) != 0);
    }

    /// @param eights whether products of more than 8 vectors take those as e4m3, where weights allow it
    /// @param peers null for a rank that is alone
    /// @return the kernel, or null where it does not serve
    static DecodeKernel of(
            CudaDevice device,
            CudaModules modules,
            ShardShape shape,
            DeviceWeights weights,
            StepMemory memory,
            StepLimits limits,
            boolean eights,
            DevicePeers peers,
            Arena arena) {
        DecodeTiling tiling = DecodeTiling.chosen();
        boolean allLayers = shape.slice().embeds() && shape.slice().samples();
        if (!allLayers
                || !StepMemory.tilesAreWhole(limits.blockSize(), KEYS_A_TILE)
                || sharedBytes(device.computeCapability()) == 0
                || shape.group() > ShardShape.QUERY_TILE
                || shape.hidden() > DecodeTiling.MAX_HIDDEN) {
            return null;
        }
        Extents extents = Extents.of(
                shape, weights, tiling, device.multiprocessors(), sharedBytes(device.computeCapability()), eights);
        return extents.vectors() == 0
                ? null
                : new DecodeKernel(device, modules, shape, weights, memory, limits, tiling, extents, peers, arena);
    }

    /// What a block may have of a multiprocessor's shared memory; 0 where the kernel does not serve.
    private static int sharedBytes(int capability) {
        return switch (capability) {
            case CudaDevice.HOPPER -> 227 * 1024;
            case 80, 87 -> 163 * 1024;
            // A ring beside vectors and sums would be too short to hide anything.
            default -> 0;
        };
    }

    /// How shared memory is parted.
    ///
    /// @param shared bytes of a block
    /// @param pitch elements from a vector to the next
    /// @param slotBytes of a slot of the ring: the most that any matrix' format wants
    /// @param vectors at most; 0 where not even one fits
    private record Extents(DecodeTiling tiling, int shared, int headSize, int pitch, int slotBytes, int vectors) {
        static Extents of(
                ShardShape shape,
                DeviceWeights weights,
                DecodeTiling tiling,
                int multiprocessors,
                int shared,
                boolean eights) {
            int widest = shape.hidden();
            int slotBytes = 2 * KEYS_A_TILE * shape.headSize();
            for (Matrix matrix : weights.matrices()) {
                slotBytes = Math.max(slotBytes, matrix.format().slotBytes());
            }
            for (DeviceWeights.Layer layer : weights.layers()) {
                for (Matrix matrix : List.of(layer.output(), layer.down())) {
                    // Products by columns: a block meets at most two slots' columns.
                    widest = Math.max(widest, matrix.format().columnsOfTwo(matrix.columns()));
                    if (matrix.format().cuts(matrix.columns()) > multiprocessors) {
                        return new Extents(tiling, shared, shape.headSize(), 0, slotBytes, 0);
                    }
                }
            }
            slotBytes = (slotBytes + SLOT_ALIGNMENT - 1) / SLOT_ALIGNMENT * SLOT_ALIGNMENT;
            // Rows of vectors 16 bytes apart from multiples of 128: ldmatrix meets all banks.
            int pitch = (widest + 63) / 64 * 64 + 8;
            // From nine sequences on, products that need no widening are quicker by kernels of their own; bf16 ones
            // also
            // where the ring is so short.
            boolean wide = weights.matrices().stream().allMatch(matrix -> matrix.format() == WeightFormat.BF16);
            boolean narrow =
                    eights && weights.matrices().stream().allMatch(matrix -> matrix.format() == WeightFormat.FP8_ROWS);
            int vectors = wide || narrow ? VECTORS_A_TILE : MAX_VECTORS;
            int least = wide ? MIN_SLOTS_WIDE : MIN_SLOTS;
            while (vectors > 0
                    && new Extents(tiling, shared, shape.headSize(), pitch, slotBytes, vectors).slots(vectors)
                            < least) {
                vectors--;
            }
            return new Extents(tiling, shared, shape.headSize(), pitch, slotBytes, vectors);
        }

        /// That a tile of keys and values takes: one, or one each.
        int contextSlots() {
            return slotBytes < 4 * KEYS_A_TILE * headSize ? 2 : 1;
        }

        int contextSlotBytes() {
            return 4 * KEYS_A_TILE * headSize / contextSlots();
        }

        int vectorBytes(int count) {
            // Attention keeps a head's queries there, and the newest key and value.
            int queries = 2 * 18 * (headSize + 8);
            return (Math.max(queries, 2 * count * pitch) + 127) / 128 * 128;
        }

        int slots(int count) {
            return Math.min(MAX_SLOTS, (shared - sharedBytes(count, 0)) / (slotBytes + 16));
        }

        int sharedBytes(int count, int slots) {
            int small = 4 * MAX_VECTORS * (tiling.warps() + 1 + MAX_GRANULES) + PLAN_BYTES + 8 + TRACE_BYTES;
            return slots * (slotBytes + 16) + vectorBytes(count) + 4 * tiling.sumFloats(headSize, count) + small;
        }
    }

    // Struct Plan of decode.cu.
    private static final int PLAN_BYTES = 8 + 4 * 5 * MAX_VECTORS + 8 * MAX_VECTORS;

    /// Device bytes of the list of phases.
    static long phaseBytes(ShardShape shape) {
        return (long) PHASE_BYTES * (7 * shape.layers() + 1);
    }

    /// Device bytes of the maps of all matrices.
    static long mapBytes(ShardShape shape) {
        return (long) TensorMap.BYTES * MAPS_A_MATRIX * (7 * shape.layers() + 1);
    }

    /// Device rows of attention's parts, a head size of floats and a pair for each of 16 queries.
    static long partRows(ShardShape shape, int multiprocessors) {
        return ShardShape.QUERY_TILE * (multiprocessors + (long) MAX_VECTORS * shape.kvHeads());
    }

    /// Device bytes of the counters: the barrier's two and how many phases there were, then those of parts.
    static long counterBytes(ShardShape shape) {
        return 4 * ((long) MAX_VECTORS * shape.kvHeads() + BARRIER_COUNTERS);
    }

    private static final int BARRIER_COUNTERS = 3;

    /// Device bytes of what attention leaves and of activated gates and ups, a pair and its number in 8 bytes, and of
    /// [#partRows], a value and its number in 8 bytes.
    static long numberedBytes(ShardShape shape, int multiprocessors) {
        return 4L * MAX_VECTORS * (shape.attentionSize() + shape.intermediate())
                + 8 * partRows(shape, multiprocessors) * (shape.headSize() + 2);
    }

    /// A row of the kernel's list.
    ///
    /// @param layer of a sum, its number
    /// @param cuts slots that a tile's columns are cut into
    /// @param vector norm weights before the product, or the bias that attention adds to its inputs
    /// @param maps device address of its matrix' maps, or 0 where its rows are not as they were
    /// @param norms of attention's heads, or 0
    private record Phase(int type, int layer, Matrix matrix, int cuts, long vector, long maps, long norms) {
        void write(MemorySegment to, long at, boolean numbered) {
            to.set(JAVA_INT, at, type);
            to.set(JAVA_INT, at + 4, matrix.format().code());
            to.set(JAVA_INT, at + 8, matrix.rows());
            to.set(JAVA_INT, at + 12, matrix.columns());
            to.set(JAVA_INT, at + 16, layer);
            to.set(JAVA_INT, at + 20, cuts | (numbered ? 1 << 16 : 0));
            to.set(JAVA_LONG, at + 24, matrix.address());
            to.set(JAVA_LONG, at + 32, matrix.scales());
            to.set(JAVA_LONG, at + 40, vector);
            to.set(JAVA_LONG, at + 48, maps);
            to.set(JAVA_LONG, at + 56, norms);
        }

        /// A wide slot's, another one's, a granule's.
        void writeMaps(CudaDevice device, MemorySegment to) {
            int blocks = matrix.format() == WeightFormat.BF16 ? 2 : 1;
            int widest = WeightFormat.widestSlot(matrix.columns(), cuts);
            int[] granules = {widest, Math.max(1, widest - 1), 1};
            for (int i = 0; i < MAPS_A_MATRIX; i++) {
                TensorMap.encode(
                        device,
                        to.asSlice((long) i * TensorMap.BYTES),
                        matrix.address(),
                        matrix.format().bytes(1, matrix.columns()),
                        matrix.rows(),
                        WeightFormat.TILE,
                        blocks * granules[i]);
            }
        }

        Phase normedBy(long address) {
            return new Phase(type, layer, matrix, cuts, vector, maps, address);
        }

        Phase mappedAt(long address) {
            return new Phase(type, layer, matrix, cuts, vector, address, norms);
        }

        long bytes() {
            return type == ATTENTION || type == SHARE ? 0 : matrix.bytes();
        }
    }

    private static List<Phase> phases(ShardShape shape, DeviceWeights weights, long maps, boolean shares) {
        List<Phase> phases = new ArrayList<>();
        for (int i = 0; i < shape.layers(); i++) {
            DeviceWeights.Layer layer = weights.layers().get(i);
            phases.add(phase(QKV, i, layer.qkv(), layer.attentionNorm()));
            phases.add(phase(ATTENTION, i, layer.qkv(), layer.qkvBias()).normedBy(layer.headNorms()));
            phases.add(phase(OUTPUT, i, layer.output(), 0));
            if (shares) {
                phases.add(phase(SHARE, 2 * i, layer.output(), 0));
            }
            phases.add(phase(GATE_UP, i, layer.gateUp(), layer.mlpNorm()));
            phases.add(phase(DOWN, i, layer.down(), 0));
            if (shares) {
                phases.add(phase(SHARE, 2 * i + 1, layer.down(), 0));
            }
        }
        phases.add(phase(LOGITS, 0, weights.output(), weights.outputNorm()));
        List<Phase> mapped = new ArrayList<>();
        for (Phase phase : phases) {
            boolean streams = phase.type != ATTENTION
                    && phase.type != SHARE
                    && phase.matrix.format().hasRows();
            long at = maps + (long) TensorMap.BYTES * MAPS_A_MATRIX * mapped.size();
            mapped.add(phase.mappedAt(streams ? at : 0));
        }
        return mapped;
    }

    private static Phase phase(int type, int layer, Matrix matrix, long vector) {
        int cuts = matrix.format().cuts(matrix.columns());
        return new Phase(type, layer, matrix, cuts, vector, 0, 0);
    }

    private static final int NUMBERS = 21 * 8;
    // As a struct of addresses is, a multiple of one.
    private static final int ARGUMENT_BYTES = (NUMBERS + 4 * Field.values().length + 7) / 8 * 8;

    private void describe(ShardShape shape, DeviceWeights weights, StepLimits limits, Extents extents, long added) {
        long activated = memory.decodeNumbered() + 4L * MAX_VECTORS * shape.attentionSize();
        long[] addresses = {
            memory.decodePhases(),
            weights.embedding(),
            memory.last(),
            memory.residual(),
            memory.decodeQkv(),
            memory.decodeNumbered(),
            activated,
            activated + 4L * MAX_VECTORS * shape.intermediate(),
            memory.logits(),
            memory.decodeParts(),
            added,
            memory.decodePartSums(),
            memory.decodeCounters() + 4 * BARRIER_COUNTERS,
            memory.decodeCounters(),
            memory.rope(),
            memory.keys(0),
            memory.values(0),
            memory.table(),
            memory.decodeTrace(),
            memory.cacheLayer() / 2,
            numberedBytes(shape, grid) / 8
        };
        for (int i = 0; i < addresses.length; i++) {
            argument.set(JAVA_LONG, 8L * i, addresses[i]);
        }
        number(Field.COUNT, phases.size());
        number(Field.MAX_BLOCKS, memory.maxBlocks());
        number(Field.BLOCK_SIZE, limits.blockSize());
        number(Field.HEADS, shape.heads());
        number(Field.KV_HEADS, shape.kvHeads());
        number(Field.HIDDEN, shape.hidden());
        number(Field.VOCABULARY, shape.vocabulary());
        number(
                Field.INTERLEAVED,
                switch (shape.config().ropeLayout()) {
                    case HALVES -> 0;
                    case INTERLEAVED -> 1;
                });
        number(Field.SLOT_BYTES, extents.slotBytes());
        number(Field.PITCH, extents.pitch());
        number(Field.CONTEXT_SLOTS, extents.contextSlots());
        number(Field.EPSILON, Float.floatToRawIntBits((float) shape.config().rmsNormEpsilon()));
        number(Field.SCALE, Float.floatToRawIntBits((float) (1 / Math.log(2) / Math.sqrt(shape.headSize()))));
    }

    /// What lies behind the addresses in the kernel's `Decode`, in its order.
    private enum Field {
        COUNT(0),
        MAX_BLOCKS(1),
        BLOCK_SIZE(2),
        HEADS(3),
        KV_HEADS(4),
        HIDDEN(5),
        VOCABULARY(6),
        INTERLEAVED(7),
        SLOTS(8),
        SLOT_BYTES(9),
        DEPTH(10),
        AHEAD(11),
        FETCHED(12),
        PITCH(13),
        VECTOR_BYTES(14),
        SUM_FLOATS(15),
        CONTEXT_SLOTS(16),
        CONTEXT_DEPTH(17),
        EPSILON(18),
        SCALE(19);

        private final int index;

        Field(int index) {
            this.index = index;
        }
    }

    private void number(Field which, int value) {
        argument.set(JAVA_INT, NUMBERS + 4L * which.index, value);
    }

    /// As many bytes in flight as weights have: fewer do not fill the memory's latency.
    private int contextDepth() {
        int forced = Integer.getInteger(CONTEXT_DEPTH_PROPERTY, 0);
        return forced > 0 ? forced : (depth * slotBytes + contextSlotBytes - 1) / contextSlotBytes;
    }

    boolean serves(StepBucket bucket) {
        return !bucket.prefill() && serves(bucket.tokens());
    }

    /// Whether steps of so many sequences are served.
    boolean serves(int vectors) {
        return vectors < setups.length;
    }

    /// Embedding to logits, for a step whose rows are of one token each.
    void launch(StepBucket bucket) {
        Setup setup = setups[bucket.tokens()];
        stepArgument.set(JAVA_LONG, 0, memory.words());
        stepArgument.set(JAVA_INT, 8, bucket.tokens());
        stepArgument.set(JAVA_INT, 12, bucket.rows());
        number(Field.SLOTS, setup.slots);
        number(Field.DEPTH, Math.min(depth, setup.slots));
        number(Field.AHEAD, Math.min(ahead, setup.slots));
        number(Field.CONTEXT_DEPTH, Math.min(contextDepth(), setup.slots));
        number(Field.FETCHED, fetched);
        number(Field.VECTOR_BYTES, setup.vectorBytes);
        number(Field.SUM_FLOATS, setup.sumFloats);
        device.launch(
                setup.kernel,
                new Grid(grid, 1, 1, tiling.threads(), setup.sharedBytes),
                stepArgument,
                argument,
                peersArgument);
    }

    /// How many slots should be in flight differs by card and shape: tried on a step of one token,
    /// whose description is in place already.
    ///
    /// Without the sums of several ranks: they would have to try the same at the same time.
    void tune(StepBucket bucket) {
        List<Phase> own = phases.stream().filter(phase -> phase.type != SHARE).toList();
        choose(own);
        tuneAlone(bucket);
        choose(phases);
        if (own.size() < phases.size()) {
            device.zero(memory.partial(), Float.BYTES * (long) hidden);
        }
    }

    private void choose(List<Phase> some) {
        tell(some);
        number(Field.COUNT, some.size());
    }

    private void tuneAlone(StepBucket bucket) {
        StringJoiner tried = new StringJoiner(", ");
        List<Flight> flights = new ArrayList<>();
        for (int slots = 1; slots <= Math.min(6, setups[1].slots); slots++) {
            flights.add(new Flight(slots, 1, fetched));
        }
        int most = fastest(bucket, flights, tried).depth;
        flights.clear();
        flights.add(new Flight(most, Math.min(2, most), fetched));
        for (int slots = 0; slots <= (boxes ? MAX_FETCHED : 0); slots++) {
            flights.add(new Flight(most, 1, slots));
        }
        Flight best = fastest(bucket, flights, tried);
        set(best);
        tuning = "%d slots in flight, %d when ahead, %d behind the ring, of %s ms"
                .formatted(depth, ahead, fetched, tried);
    }

    /// @param depth slots in flight
    /// @param ahead the same of a phase that the grid has not come to
    /// @param fetched slots behind a full ring that are sent ahead to the second-level cache
    private record Flight(int depth, int ahead, int fetched) {}

    private void set(Flight flight) {
        depth = flight.depth;
        ahead = flight.ahead;
        fetched = flight.fetched;
    }

    private Flight fastest(StepBucket bucket, List<Flight> flights, StringJoiner tried) {
        Flight best = flights.getFirst();
        float least = Float.POSITIVE_INFINITY;
        for (Flight flight : flights) {
            set(flight);
            float millis = millis(bucket);
            tried.add("%d/%d/%d %.3f".formatted(depth, ahead, fetched, millis));
            if (millis < least) {
                least = millis;
                best = flight;
            }
        }
        return best;
    }

    /// The kernel's own time, the shortest of a few runs.
    float millis(StepBucket bucket) {
        launch(bucket);
        return device.leastMillis(4, () -> launch(bucket));
    }

    /// Where a step's time goes: the kernel's time with some kinds of phases only. What it computes
    /// is worthless, and so are the sums it leaves: for measuring, before an epoch's end.
    ///
    /// @param kinds a bit for each kind of phase
    String profile(StepBucket bucket, int kinds) {
        List<Phase> some =
                phases.stream().filter(phase -> (kinds >> phase.type & 1) != 0).toList();
        choose(some);
        float millis = millis(bucket);
        choose(phases);
        double bytes = some.stream().mapToDouble(Phase::bytes).sum();
        return "%.4f ms, %.3f TB/s, %d phases".formatted(millis, bytes / millis / 1e9, some.size());
    }

    /// Where blocks spend their cycles, where the kernel was compiled to count them
    /// (`-DTILING_TRACE=1`): for each kind of phase the mean of a block and phase, in nanoseconds
    /// at 1.755 GHz, of waiting for the grid, bringing vectors, waiting
    /// for the first weights, multiplying, finishing and leaving.
    String trace(StepBucket bucket) {
        HostMemory host = device.allocateHost(TRACE_BYTES);
        for (int i = 0; i < 64; i++) {
            host.segment().setAtIndex(JAVA_LONG, i, 0);
        }
        device.upload(memory.decodeTrace(), host, TRACE_BYTES);
        launch(bucket);
        device.download(host, memory.decodeTrace(), TRACE_BYTES);
        device.synchronize();
        StringBuilder text = new StringBuilder();
        for (int kind = 0; kind < KINDS.length; kind++) {
            int type = kind;
            long count =
                    grid * phases.stream().filter(phase -> phase.type == type).count();
            text.append("%n    %-10s".formatted(KINDS[kind]));
            for (int mark = 0; mark < 6; mark++) {
                text.append(" %7.0f".formatted(host.segment().getAtIndex(JAVA_LONG, 8L * kind + mark) / 1.755 / count));
            }
        }
        device.free(host);
        return text.toString();
    }

    /// For the log: what was chosen, and the times it was chosen by.
    String tuning() {
        return tuning;
    }
}
