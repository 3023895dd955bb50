package io.penstock.shard.backend.cuda;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.cuda.CublasLt.Product;
import io.penstock.shard.backend.cuda.Launcher.Grid;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.Map;

/// The kernels of a step, in order, for a bucket: launched as they come, or while a graph is
/// captured. Residual sums are f32; what goes into matrix products is bf16.
final class ForwardPass {
    /// Vectors that our own matrix-vector kernels take at once.
    private static final int GEMV_VECTORS = 8;

    private static final int ROWS_A_TILE = 16;
    // Keys and values of a tile of 64, twice, rows padded by 16 bytes.
    private static final int ATTENTION_SHARED_A_HEAD_ELEMENT = 4 * 64 * 2;
    private static final float LOG2_E = (float) (1 / Math.log(2));

    private final CudaDevice device;
    private final CublasLt cublas;
    private final ShardShape shape;
    private final DeviceWeights weights;
    private final StepMemory memory;
    private final StepLimits limits;
    private final Map<Extents, Product> products = new HashMap<>();
    private final MemorySegment stepArgument;
    private final MemorySegment cacheArgument;
    private final MemorySegment samplingArgument;
    private final int attentionShared;

    private final Kernel begin;
    private final Kernel embed;
    private final Kernel norm;
    private final Kernel sampleNorm;
    private final Kernel rotate;
    private final Kernel swiglu;
    private final Kernel add;
    private final Kernel gemvStore;
    private final Kernel gemvAdd;
    private final Kernel gemvSwiglu;
    private final Kernel prefillAttention;
    private final Kernel decodeAttention;
    private final Kernel mergeAttention;
    private final Kernel sample;
    private final Kernel expand;

    ForwardPass(
            CudaDevice device,
            CudaModules modules,
            CublasLt cublas,
            ShardShape shape,
            DeviceWeights weights,
            StepMemory memory,
            StepLimits limits,
            Arena arena) {
        this.device = device;
        this.cublas = cublas;
        this.shape = shape;
        this.weights = weights;
        this.memory = memory;
        this.limits = limits;
        attentionShared = Math.multiplyExact(ATTENTION_SHARED_A_HEAD_ELEMENT, shape.headSize() + 8);
        begin = modules.kernel("elementwise", "beginStep");
        embed = modules.kernel("elementwise", "embed");
        norm = modules.kernel("elementwise", "rmsNorm");
        sampleNorm = modules.kernel("elementwise", "sampleNorm");
        rotate = modules.kernel("elementwise", "rotateAndStore");
        swiglu = modules.kernel("elementwise", "swiglu");
        add = modules.kernel("elementwise", "addTo");
        gemvStore = modules.kernel("gemv", "gemvStore");
        gemvAdd = modules.kernel("gemv", "gemvAdd");
        gemvSwiglu = modules.kernel("gemv", "gemvSwiglu");
        prefillAttention = modules.kernel("attention", "prefillAttention" + shape.headSize(), attentionShared);
        decodeAttention = modules.kernel("attention", "decodeAttention" + shape.headSize(), attentionShared);
        mergeAttention = modules.kernel("attention", "mergeAttention");
        sample = modules.kernel("sampling", "sample");
        expand = modules.kernel("weights", "expand");
        stepArgument = arena.allocate(16, 8);
        cacheArgument = arena.allocate(40, 8);
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
            norm(bucket, layer.attentionNorm());
            product(layer.qkv(), memory.normed(), memory.qkv(), bucket.tokens(), Into.F32);
            attention(bucket, layer, i);
            contribute(layer.output(), memory.attended(), bucket, sum, 2 * i);
            norm(bucket, layer.mlpNorm());
            mlp(bucket, layer);
            contribute(layer.down(), memory.activated(), bucket, sum, 2 * i + 1);
        }
    }

    private void norm(StepBucket bucket, long weight) {
        device.launch(
                norm,
                Grid.of(bucket.tokens(), normThreads()),
                step(bucket),
                memory.residual(),
                weight,
                memory.normed(),
                shape.hidden(),
                (float) shape.config().rmsNormEpsilon());
    }

    private int normThreads() {
        return Math.min((shape.hidden() / 4 + 31) / 32 * 32, 1024);
    }

    private void attention(StepBucket bucket, DeviceWeights.Layer layer, int index) {
        MemorySegment step = step(bucket);
        long keys = memory.keys(index);
        long values = memory.values(index);
        device.launch(
                rotate,
                Grid.of(bucket.tokens(), 256),
                step,
                memory.qkv(),
                layer.qkvBias(),
                layer.headNorms(),
                (float) shape.config().rmsNormEpsilon(),
                memory.rope(),
                memory.queries(),
                keys,
                values,
                memory.table(),
                memory.maxBlocks(),
                limits.blockSize(),
                shape.heads(),
                shape.kvHeads(),
                shape.headSize(),
                switch (shape.config().ropeLayout()) {
                    case HALVES -> 0;
                    case INTERLEAVED -> 1;
                });
        cacheArgument.set(JAVA_LONG, 0, keys);
        cacheArgument.set(JAVA_LONG, 8, values);
        cacheArgument.set(JAVA_LONG, 16, memory.table());
        cacheArgument.set(JAVA_INT, 24, memory.maxBlocks());
        cacheArgument.set(JAVA_INT, 28, limits.blockSize());
        cacheArgument.set(JAVA_INT, 32, shape.heads());
        cacheArgument.set(JAVA_INT, 36, shape.kvHeads());
        float scale = (float) (LOG2_E / Math.sqrt(shape.headSize()));
        if (bucket.prefill()) {
            device.launch(
                    prefillAttention,
                    new Grid(bucket.prefillItems(shape), shape.kvHeads(), 1, 128, attentionShared),
                    step,
                    cacheArgument,
                    memory.queries(),
                    memory.attended(),
                    scale);
        }
        device.launch(
                decodeAttention,
                new Grid(bucket.rows(), shape.kvHeads(), bucket.splits(), 128, attentionShared),
                step,
                cacheArgument,
                memory.queries(),
                memory.parts(),
                memory.partSums(),
                memory.attended(),
                scale);
        device.launch(
                mergeAttention,
                new Grid(bucket.rows(), shape.kvHeads(), 1, 256, 0),
                step,
                memory.parts(),
                memory.partSums(),
                bucket.splits(),
                shape.heads(),
                shape.kvHeads(),
                shape.headSize(),
                memory.attended());
    }

    private void mlp(StepBucket bucket, DeviceWeights.Layer layer) {
        if (bucket.tokens() <= GEMV_VECTORS) {
            product(layer.gateUp(), memory.normed(), memory.activated(), bucket.tokens(), Into.ACTIVATED);
            return;
        }
        product(layer.gateUp(), memory.normed(), memory.gateUp(), bucket.tokens(), Into.BF16);
        device.launch(
                swiglu,
                new Grid((shape.intermediate() / 8 + 127) / 128, bucket.tokens(), 1, 128, 0),
                step(bucket),
                memory.gateUp(),
                memory.activated(),
                shape.intermediate());
    }

    /// Adds a product to the residual sums, by way of the other ranks' parts where there are any.
    private void contribute(Matrix matrix, long inputs, StepBucket bucket, RankSum sum, int index) {
        if (sum == null) {
            product(matrix, inputs, memory.residual(), bucket.tokens(), Into.SUM);
            return;
        }
        product(matrix, inputs, sum.part(index), bucket.tokens(), Into.F32);
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
                Grid.of(samples, normThreads()),
                step(bucket),
                memory.residual(),
                weights.outputNorm(),
                memory.normed(),
                shape.hidden(),
                (float) shape.config().rmsNormEpsilon());
        product(weights.output(), memory.normed(), memory.logits(), samples, Into.F32);
    }

    /// From the whole vocabulary's logits to ids.
    void sample(StepBucket bucket, int samples) {
        device.launch(sample, Grid.of(samples, 1024), step(bucket), samplingArgument);
    }

    private enum Into {
        F32,
        BF16,
        SUM,
        /// silu(gate) * up as bf16, by our own kernels only
        ACTIVATED;

        /// Bytes of a row's result.
        long bytes(long rows) {
            return switch (this) {
                case F32, SUM -> 4 * rows;
                case BF16 -> 2 * rows;
                case ACTIVATED -> rows;
            };
        }
    }

    private record Extents(int rows, int columns, int vectors, int stride, Into into) {}

    /// A product with all of a matrix; in pieces of rows where it must become bf16 first.
    private void product(Matrix matrix, long inputs, long outputs, int vectors, Into into) {
        int stride = into == Into.ACTIVATED ? matrix.rows() / 2 : matrix.rows();
        if (matrix.format() == WeightFormat.BF16) {
            product(matrix.address(), inputs, outputs, matrix.rows(), matrix.columns(), vectors, stride, into);
            return;
        }
        int most = StepMemory.expandedRows(matrix.columns());
        for (int row = 0; row < matrix.rows(); row += most) {
            int rows = Math.min(most, matrix.rows() - row);
            device.launch(
                    expand,
                    Grid.of(8 * device.multiprocessors(), 256),
                    matrix.address(),
                    matrix.scales(),
                    matrix.format().code(),
                    matrix.columns(),
                    row,
                    rows,
                    memory.expanded());
            long to = outputs + into.bytes(row);
            product(memory.expanded(), inputs, to, rows, matrix.columns(), vectors, stride, into);
        }
    }

    private void product(
            long matrix, long inputs, long outputs, int rows, int columns, int vectors, int stride, Into into) {
        if (vectors <= GEMV_VECTORS && into != Into.BF16) {
            Kernel kernel = switch (into) {
                case SUM -> gemvAdd;
                case ACTIVATED -> gemvSwiglu;
                case F32, BF16 -> gemvStore;
            };
            device.launch(
                    kernel,
                    Grid.of((rows + ROWS_A_TILE - 1) / ROWS_A_TILE, 256),
                    matrix,
                    inputs,
                    rows,
                    columns,
                    vectors,
                    outputs,
                    stride);
            return;
        }
        Product plan = products.computeIfAbsent(
                new Extents(rows, columns, vectors, stride, into),
                _ -> cublas.plan(rows, columns, vectors, stride, into != Into.BF16, into == Into.SUM));
        cublas.run(plan, matrix, inputs, outputs, device.streamHandle());
    }

    private MemorySegment step(StepBucket bucket) {
        stepArgument.set(JAVA_LONG, 0, memory.words());
        stepArgument.set(JAVA_INT, 8, bucket.tokens());
        stepArgument.set(JAVA_INT, 12, bucket.rows());
        return stepArgument;
    }
}
