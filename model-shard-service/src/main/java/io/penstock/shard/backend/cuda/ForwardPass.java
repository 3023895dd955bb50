package io.penstock.shard.backend.cuda;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.cuda.CublasLt.Outputs;
import io.penstock.shard.backend.cuda.CudaDevice.HostMemory;
import io.penstock.shard.backend.cuda.Launcher.Grid;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Function;

/// The kernels of a step, in order, for a bucket: launched as they come, or while a graph is
/// captured. Residual sums are f32; what goes into matrix products is bf16.
final class ForwardPass {
    // Of elementwise.cu: what a thread holds of a vector in registers, in elements; what a lane of the rotation does.
    private static final int FLOATS_A_THREAD = 16;
    private static final int HALVES_A_THREAD = 64;
    private static final int GATES_A_THREAD = 16;
    private static final int HEADS_A_LANE = 2;
    private static final int HEAD_ELEMENTS_A_LANE = 8;
    private static final int ROTATING_THREADS = 320;
    // Keys and values of a tile of 64 as bf16, twice (once, where they are e4m3, and twice so), and a little more.
    private static final int ATTENTION_SHARED_A_HEAD_ELEMENT = 4 * 64 * 2;
    private static final float LOG2_E = (float) (1 / Math.log(2));

    private final CudaDevice device;
    private final WeightProducts products;
    private final ShardShape shape;
    private final DeviceWeights weights;
    private final StepMemory memory;
    private final StepLimits limits;
    private final boolean alike;
    private final boolean kvEights;
    private final MemorySegment stepArgument;
    private final MemorySegment cacheArgument;
    private final MemorySegment normedArgument;
    private final MemorySegment partsArgument;
    private final MemorySegment samplingArgument;
    private final int attentionShared;

    private final Kernel begin;
    private final Kernel embed;
    private final Kernel norm;
    private final Kernel sampleNorm;
    private final Kernel rotate;
    private final Kernel swiglu;
    private final Kernel swigluEights;
    private final Kernel narrow;
    private final Kernel add;
    // Null where [#prompts] does it.
    private final Kernel prefillAttention;
    private final WidePrompts prompts;
    private final Kernel decodeAttention;
    // Null where [#decodeAttention] does it.
    private final StreamedContexts contexts;
    private final Kernel sample;
    private final Kernel random;
    private final Kernel fill;

    ForwardPass(
            CudaDevice device,
            CudaModules modules,
            Products products,
            ShardShape shape,
            DeviceWeights weights,
            StepMemory memory,
            StepLimits limits,
            CudaOptions.Computing computing,
            Arena arena) {
        this.device = device;
        this.products = new WeightProducts(device, modules, products, memory, computing);
        alike = computing.deterministic();
        kvEights = computing.kv() == CudaOptions.Kv.FP8;
        this.shape = shape;
        this.weights = weights;
        this.memory = memory;
        this.limits = limits;
        attentionShared = Math.multiplyExact(ATTENTION_SHARED_A_HEAD_ELEMENT, shape.headSize() + 8);
        begin = modules.kernel("elementwise", "beginStep");
        embed = modules.following("elementwise", "embed");
        norm = modules.following("elementwise", "rmsNorm");
        sampleNorm = modules.following("elementwise", "sampleNorm");
        rotate = modules.following("elementwise", "rotateAndStore");
        swiglu = modules.following("elementwise", "swiglu");
        swigluEights = modules.following("elementwise", "swigluEights");
        narrow = modules.following("elementwise", "narrow");
        add = modules.following("elementwise", "addTo");
        String kind = shape.headSize() + (kvEights ? "Fp8" : "");
        prompts = WidePrompts.of(device, modules, shape, limits, computing.kv(), memory, arena);
        prefillAttention =
                prompts == null ? modules.following("attention", "prefillAttention" + kind, attentionShared) : null;
        decodeAttention = modules.following("attention", "decodeAttention" + kind, attentionShared);
        contexts = StreamedContexts.of(device, modules, shape, limits, computing.kv());
        sample = modules.following("sampling", "sample");
        random = modules.kernel("elementwise", "randomWeights");
        fill = modules.kernel("elementwise", "fill");
        stepArgument = arena.allocate(16, 8);
        cacheArgument = arena.allocate(40, 8);
        normedArgument = arena.allocate(24, 8);
        partsArgument = arena.allocate(24, 8);
        partsArgument.set(JAVA_LONG, 0, memory.parts());
        partsArgument.set(JAVA_LONG, 8, memory.partSums());
        partsArgument.set(JAVA_LONG, 16, memory.partsArrived());
        samplingArgument = arena.allocate(64, 8);
        memory.describeSampling(samplingArgument, shape, limits);
    }

    /// Brings the description of a step, and what it says of slots.
    ///
    /// @param host where the words lie, page-locked
    void begin(StepBucket bucket, long host, int words) {
        device.launch(
                begin,
                Grid.of(1, 1024),
                host,
                words,
                step(bucket),
                memory.table(),
                memory.maxBlocks(),
                memory.slots(),
                SlotRecord.WORDS,
                memory.occurrences(),
                shape.config().vocabularySize());
    }

    void embed(StepBucket bucket) {
        device.launch(
                embed,
                Grid.of(bucket.tokens(), 128),
                step(bucket),
                weights.embedding(),
                memory.last(),
                memory.residual(),
                shape.hidden());
    }

    /// All layers.
    ///
    /// @param sum what tensor-parallel ranks must sum, or null for one rank
    void layers(StepBucket bucket, RankSum sum) {
        for (int i = 0; i < shape.layers(); i++) {
            DeviceWeights.Layer layer = weights.layers().get(i);
            norm(bucket, layer.attentionNorm(), layer.qkv());
            products.run(layer.qkv(), memory.normed(), memory.qkv(), bucket.tokens(), qkvInto(bucket.tokens()));
            rotate(bucket, layer, i);
            attend(bucket, i);
            narrow(layer.output(), memory.attended(), bucket);
            contribute(layer.output(), memory.attended(), bucket, sum, 2 * i);
            norm(bucket, layer.mlpNorm(), layer.gateUp());
            mlp(bucket, layer);
            contribute(layer.down(), memory.activated(), bucket, sum, 2 * i + 1);
        }
    }

    /// From [StepMemory#residual()] to vectors as a product takes them.
    ///
    /// @param next what takes the normed vectors
    void norm(StepBucket bucket, long weight, Matrix next) {
        device.launch(
                norm,
                Grid.of(bucket.tokens(), threads(shape.hidden(), FLOATS_A_THREAD)),
                step(bucket),
                memory.residual(),
                weight,
                normed(next, bucket.tokens()),
                shape.hidden(),
                (float) shape.config().rmsNormEpsilon());
    }

    private MemorySegment normed(Matrix next, int vectors) {
        normedArgument.set(JAVA_LONG, 0, products.takesEights(next, vectors) ? 0 : memory.normed());
        normedArgument.set(JAVA_LONG, 8, memory.eights());
        normedArgument.set(JAVA_LONG, 16, memory.eightScales());
        return normedArgument;
    }

    /// Threads of a block that holds so many elements in its registers, in whole warps.
    private static int threads(int elements, int each) {
        return (elements + 32 * each - 1) / (32 * each) * 32;
    }

    /// From [StepMemory#qkv()] to [StepMemory#queries()] and a layer's keys and values.
    void rotate(StepBucket bucket, DeviceWeights.Layer layer, int index) {
        int heads = (shape.heads() + 2 * shape.kvHeads() + HEADS_A_LANE - 1) / HEADS_A_LANE;
        int lanes = heads * shape.headSize() / HEAD_ELEMENTS_A_LANE;
        int blocks = (lanes + ROTATING_THREADS - 1) / ROTATING_THREADS;
        device.launch(
                rotate,
                new Grid(bucket.tokens(), blocks, 1, threads(lanes, blocks), 0),
                step(bucket),
                memory.qkv(),
                layer.qkvBias(),
                layer.headNorms(),
                (float) shape.config().rmsNormEpsilon(),
                memory.rope(),
                memory.queries(),
                memory.keys(index),
                memory.values(index),
                memory.table(),
                memory.maxBlocks(),
                limits.blockSize(),
                shape.heads(),
                shape.kvHeads(),
                shape.headSize(),
                switch (shape.config().ropeLayout()) {
                    case HALVES -> 0;
                    case INTERLEAVED -> 1;
                },
                kvEights ? 1 : 0,
                alike ? 0 : StreamedProducts.MAX_VECTORS);
    }

    /// What describes steps as these kernels read them.
    ///
    /// @param words of [StepDescriptor#capacity] words
    StepDescriptor descriptor(HostMemory words) {
        return new StepDescriptor(
                words.segment(), limits, StreamedContexts.blocks(device.multiprocessors()), prefillTile());
    }

    // Queries of a block of the prefill kernel, as a step's description must have them.
    private int prefillTile() {
        return prompts == null ? ShardShape.PREFILL_TILE : WidePrompts.QUERIES;
    }

    /// From [StepMemory#queries()] and a layer's keys and values to [StepMemory#attended()].
    void attend(StepBucket bucket, int index) {
        MemorySegment step = step(bucket);
        cacheArgument.set(JAVA_LONG, 0, memory.keys(index));
        cacheArgument.set(JAVA_LONG, 8, memory.values(index));
        cacheArgument.set(JAVA_LONG, 16, memory.table());
        cacheArgument.set(JAVA_INT, 24, memory.maxBlocks());
        cacheArgument.set(JAVA_INT, 28, limits.blockSize());
        cacheArgument.set(JAVA_INT, 32, shape.heads());
        cacheArgument.set(JAVA_INT, 36, shape.kvHeads());
        float scale = (float) (LOG2_E / Math.sqrt(shape.headSize()));
        int items = bucket.prefillItems(shape, alike, prefillTile());
        if (bucket.prefill() && prompts != null) {
            prompts.run(items, index, step, cacheArgument, memory.queries(), memory.attended(), scale);
        } else if (bucket.prefill()) {
            device.launch(
                    prefillAttention,
                    new Grid(items, shape.kvHeads(), 1, 128, attentionShared),
                    step,
                    cacheArgument,
                    memory.queries(),
                    memory.attended(),
                    scale);
        }
        if (alike) {
            return;
        }
        if (contexts != null) {
            contexts.run(step, cacheArgument, memory.queries(), partsArgument, memory.attended(), scale);
        } else {
            device.launch(
                    decodeAttention,
                    new Grid(bucket.rows(), shape.kvHeads(), bucket.splits(), 128, attentionShared),
                    step,
                    cacheArgument,
                    memory.queries(),
                    partsArgument,
                    memory.attended(),
                    scale);
        }
    }

    /// Few vectors' products are added to the zeros that rotation leaves in as many vectors: blocks that have parts of
    /// the same columns need not meet.
    private Outputs qkvInto(int vectors) {
        return !alike && vectors <= StreamedProducts.MAX_VECTORS ? Outputs.SUM : Outputs.F32;
    }

    /// Vectors as a product takes them, where that is e4m3.
    void narrow(Matrix next, long vectors, StepBucket bucket) {
        if (products.takesEights(next, bucket.tokens())) {
            device.launch(
                    narrow,
                    Grid.of(bucket.tokens(), threads(next.columns(), HALVES_A_THREAD)),
                    step(bucket),
                    vectors,
                    memory.eights(),
                    memory.eightScales(),
                    next.columns());
        }
    }

    private void mlp(StepBucket bucket, DeviceWeights.Layer layer) {
        if (activatesAtOnce(layer.gateUp(), bucket.tokens())) {
            activateAtOnce(bucket, layer);
        } else {
            products.run(layer.gateUp(), memory.normed(), memory.gateUp(), bucket.tokens(), Outputs.BF16);
            activate(bucket, layer.down());
        }
    }

    /// Whether the kernel that multiplies with gates and ups joins them too.
    private boolean activatesAtOnce(Matrix gateUp, int vectors) {
        return products.makes(gateUp, vectors, Outputs.ACTIVATED);
    }

    private void activateAtOnce(StepBucket bucket, DeviceWeights.Layer layer) {
        products.run(layer.gateUp(), memory.normed(), memory.activated(), bucket.tokens(), Outputs.ACTIVATED);
        narrow(layer.down(), memory.activated(), bucket);
    }

    /// Gates and ups of [StepMemory#gateUp()] joined, as a product takes them.
    void activate(StepBucket bucket, Matrix next) {
        if (products.takesEights(next, bucket.tokens())) {
            device.launch(
                    swigluEights,
                    Grid.of(bucket.tokens(), threads(shape.intermediate(), HALVES_A_THREAD)),
                    step(bucket),
                    memory.gateUp(),
                    memory.eights(),
                    memory.eightScales(),
                    shape.intermediate());
            return;
        }
        device.launch(
                swiglu,
                new Grid(
                        (shape.intermediate() + 128 * GATES_A_THREAD - 1) / (128 * GATES_A_THREAD),
                        bucket.tokens(),
                        1,
                        128,
                        0),
                step(bucket),
                memory.gateUp(),
                memory.activated(),
                shape.intermediate());
    }

    /// Adds a product to the residual sums, by way of the other ranks' parts where there are any.
    private void contribute(Matrix matrix, long inputs, StepBucket bucket, RankSum sum, int index) {
        if (sum == null) {
            products.run(matrix, inputs, memory.residual(), bucket.tokens(), Outputs.SUM);
            return;
        }
        products.run(matrix, inputs, sum.part(index), bucket.tokens(), Outputs.F32);
        sum.add(bucket, index);
    }

    /// Adds [StepMemory#partial()] to the residual sums, once it is the sum of all ranks' parts.
    void addPartial(StepBucket bucket) {
        device.launch(
                add,
                Grid.of(2 * device.multiprocessors(), 256),
                memory.residual(),
                memory.partial(),
                (long) bucket.tokens() * shape.hidden());
    }

    /// Has [#sample] take its logits from elsewhere than this rank's own.
    void sampleFrom(long logits) {
        samplingArgument.set(JAVA_LONG, 0, logits);
    }

    /// From residual sums to logits of this rank's part of the vocabulary.
    ///
    /// @param samples how many rows are worked on, at least those that sample
    void logits(StepBucket bucket, int samples) {
        device.launch(
                sampleNorm,
                Grid.of(samples, threads(shape.hidden(), FLOATS_A_THREAD)),
                step(bucket),
                memory.residual(),
                weights.outputNorm(),
                normed(weights.output(), samples),
                shape.hidden(),
                (float) shape.config().rmsNormEpsilon());
        products.run(weights.output(), memory.normed(), memory.logits(), samples, Outputs.F32);
    }

    /// From the whole vocabulary's logits to ids.
    void sample(StepBucket bucket, int samples) {
        device.launch(sample, Grid.of(samples, 1024), step(bucket), samplingArgument);
    }

    /// Chooses the quickest way of all products that steps of these buckets have. Overwrites what steps
    /// write; for before the first.
    ///
    /// @param summed whether ranks' parts are summed before they are added
    void tune(List<StepBucket> buckets, boolean summed) {
        if (alike) {
            return;
        }
        Outputs added = summed ? Outputs.F32 : Outputs.SUM;
        long sums = summed ? memory.partial() : memory.residual();
        // What tensor cores multiply decides how fast they may run: zeros would be quicker than vectors are.
        for (long vectors : new long[] {memory.normed(), memory.attended(), memory.activated()}) {
            long columns = vectors == memory.normed()
                    ? shape.hidden()
                    : vectors == memory.attended() ? shape.attentionSize() : shape.intermediate();
            device.launch(
                    random,
                    Grid.of(8 * device.multiprocessors(), 256),
                    vectors,
                    limits.maxStepTokens() * columns,
                    1f,
                    1);
        }
        TreeMap<Integer, StepBucket> counts = new TreeMap<>();
        TreeSet<Integer> samples = new TreeSet<>();
        for (StepBucket bucket : buckets) {
            counts.put(bucket.tokens(), bucket);
            bucket.sampleCounts().forEach(samples::add);
        }
        counts.forEach((vectors, bucket) -> {
            // The kernels between products leave what is behind the step's last token.
            device.launch(fill, Grid.of(1, 32), memory.words(), 1L, Float.intBitsToFloat(vectors));
            tune(DeviceWeights.Layer::qkv, bucket, qkvInto(vectors), memory.normed(), memory.qkv());
            tune(DeviceWeights.Layer::output, bucket, added, memory.attended(), sums);
            tune(DeviceWeights.Layer::gateUp, bucket, Outputs.BF16, memory.normed(), memory.gateUp());
            tune(DeviceWeights.Layer::down, bucket, added, memory.activated(), sums);
            tuneActivation(bucket);
        });
        if (weights.output() != null) {
            for (int vectors : samples) {
                products.tune(
                        List.of(weights.output()), vectors, Outputs.F32, memory.normed(), memory.logits(), () -> {});
            }
        }
        // INVARIANT: the persistent kernel adds ranks' parts up where there are zeros between steps, and products of
        // few vectors theirs between layers.
        device.zero(memory.partial(), 4L * limits.maxStepTokens() * shape.hidden());
        device.zero(memory.qkv(), 4L * limits.maxStepTokens() * shape.qkvSize());
    }

    /// Gates and ups joined by the kernel that multiplies, or by one behind it.
    private void tuneActivation(StepBucket bucket) {
        DeviceWeights.Layer first = weights.layers().getFirst();
        int vectors = bucket.tokens();
        List<DeviceWeights.Layer> same = weights.layers().stream()
                .filter(layer -> layer.gateUp().format() == first.gateUp().format()
                        && layer.down().format() == first.down().format())
                .toList();
        products.tuneActivation(
                same.stream().map(DeviceWeights.Layer::gateUp).toList(),
                vectors,
                memory.normed(),
                memory.activated(),
                same.stream()
                        .<Runnable>map(layer -> () -> activateAtOnce(bucket, layer))
                        .toList(),
                same.stream()
                        .<Runnable>map(layer -> () -> {
                            products.run(layer.gateUp(), memory.normed(), memory.gateUp(), vectors, Outputs.BF16);
                            activate(bucket, layer.down());
                        })
                        .toList(),
                () -> norm(bucket, first.mlpNorm(), first.gateUp()));
    }

    private void tune(
            Function<DeviceWeights.Layer, Matrix> which, StepBucket bucket, Outputs into, long inputs, long outputs) {
        DeviceWeights.Layer first = weights.layers().getFirst();
        products.tune(
                weights.layers().stream().map(which).toList(),
                bucket.tokens(),
                into,
                inputs,
                outputs,
                () -> norm(bucket, first.mlpNorm(), first.gateUp()));
    }

    private MemorySegment step(StepBucket bucket) {
        stepArgument.set(JAVA_LONG, 0, memory.words());
        stepArgument.set(JAVA_INT, 8, bucket.tokens());
        stepArgument.set(JAVA_INT, 12, bucket.rows());
        return stepArgument;
    }
}
