package io.penstock.shard.backend.cuda;

import io.penstock.model.config.ModelConfig;
import io.penstock.model.sampling.SamplingParameters;
import io.penstock.shard.backend.SlotSampling;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.StepPlan;
import io.penstock.shard.backend.cuda.CudaDevice.DeviceMemory;
import io.penstock.shard.backend.cuda.CudaDevice.HostMemory;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/// One step's memory, filled with random values and described, for the kernels between products and attention: each can
/// be launched alone, by what launches it in a forward pass.
final class SmallStage implements AutoCloseable {
    private static final int BLOCK = 16;

    final CudaDevice device;
    final ShardShape shape;
    final StepBucket bucket;
    final StepMemory memory;
    final ForwardPass pass;
    final DeviceWeights.Layer layer;
    final float[] norm;
    final float[] bias;
    final float[] headNorms;
    final int[] position;
    final int[][] table;
    private final Random random = new Random(5);
    private final Arena arena = Arena.ofConfined();
    private final List<DeviceMemory> vectors = new ArrayList<>();
    private final HostMemory results;
    private final HostMemory words;
    private final DeviceArena deviceArena;
    private final StepLimits limits;
    private final StepDescriptor descriptor;

    /// @param tokens of the step, each of its own sequence where those are no more than `sequences`
    /// @param computing e4m3 vectors: those that products take
    SmallStage(
            CudaDevice device,
            CudaModules modules,
            ModelConfig config,
            int tokens,
            int sequences,
            CudaOptions.Computing computing) {
        this.device = device;
        shape = ShardShape.of(config, SequenceDriver.whole(config));
        int rows = Math.min(tokens, sequences);
        int length = 37 + tokens / rows;
        limits = new StepLimits(BLOCK, rows, tokens, length);
        bucket = new StepBucket(tokens, rows, false, 1);
        results = device.allocateHost(StepMemory.resultBytes(limits));
        boolean eights = computing.activations() == CudaOptions.Activations.FP8;
        StepMemory.Formats formats = new StepMemory.Formats(false, eights, computing.kv());
        int blocksEach = (length + BLOCK - 1) / BLOCK;
        int blocks = rows * blocksEach;
        DeviceArena measured = DeviceArena.measuring();
        StepMemory.lay(shape, limits, List.of(bucket), blocks, device.multiprocessors(), formats, measured, results);
        deviceArena = DeviceArena.of(device, measured.used());
        deviceArena.zero();
        memory = StepMemory.lay(
                shape, limits, List.of(bucket), blocks, device.multiprocessors(), formats, deviceArena, results);
        norm = randoms(shape.hidden());
        bias = config.attentionBias() ? randoms(shape.qkvSize()) : null;
        headNorms = config.headNorms() ? randoms(2 * shape.headSize()) : null;
        Matrix eightsNext = new Matrix(0, 0, WeightFormat.FP8_ROWS, 16, shape.attentionSize(), false);
        layer = new DeviceWeights.Layer(
                vector(norm), eightsNext, vector(bias), vector(headNorms), eightsNext, 0, eightsNext, eightsNext);
        pass = new ForwardPass(
                device,
                modules,
                null,
                shape,
                new DeviceWeights(0, List.of(layer), 0, null),
                memory,
                limits,
                computing,
                arena);
        words = device.allocateHost(4 * StepDescriptor.capacity(limits));
        descriptor = pass.descriptor(words);
        position = new int[tokens];
        table = new int[rows][blocksEach];
        describe(rows);
    }

    private void describe(int rows) {
        StepPlan plan = new StepPlan(limits, table, new SlotSampling[rows]);
        plan.rows = rows;
        for (int row = 0; row < rows; row++) {
            plan.slot[row] = row;
            plan.count[row] = bucket.tokens() / rows + (row < bucket.tokens() % rows ? 1 : 0);
            plan.start[row] = limits.maxLength() - plan.count[row] - row % 20;
            plan.tokenOffset[row] = plan.totalTokens;
            plan.samples[row] = true;
            for (int i = 0; i < plan.count[row]; i++) {
                position[plan.totalTokens++] = plan.start[row] + i;
            }
            for (int i = 0; i < table[row].length; i++) {
                // No two neighbours are neighbours in memory.
                table[row][i] = i * rows + (row + 1) % rows;
            }
        }
        HostMemory host = device.allocateHost(4 * rows * memory.maxBlocks());
        for (int row = 0; row < rows; row++) {
            MemorySegment.copy(
                    table[row],
                    0,
                    host.segment(),
                    ValueLayout.JAVA_INT,
                    4L * row * memory.maxBlocks(),
                    table[row].length);
        }
        device.upload(memory.table(), host, 4L * rows * memory.maxBlocks());
        device.synchronize();
        device.free(host);
        descriptor.begin(bucket, 0);
        descriptor.writeAdmissions(shape.config().vocabularySize());
        descriptor.describe(
                plan, shape.group(), shape.kvHeads(), true, shape.config().vocabularySize(), null);
        begin();
        device.synchronize();
    }

    /// Brings the description again.
    void begin() {
        pass.begin(bucket, words.address(), descriptor.end());
    }

    /// Makes this how all slots sample; a few at a time, for that is what a description has room for.
    void admit(SamplingParameters parameters) {
        SlotSampling sampling = new SlotSampling(parameters, new int[] {1}, 1, new int[0], 0, -1);
        HostMemory host = device.allocateHost(4 * StepDescriptor.capacity(limits));
        StepDescriptor news = pass.descriptor(host);
        for (int slot = 0; slot < bucket.rows(); ) {
            news.begin(bucket, 0);
            do {
                news.admit(slot++, sampling);
            } while (slot < bucket.rows() && news.hasRoom(0, sampling));
            news.writeAdmissions(shape.config().vocabularySize());
            pass.begin(bucket, host.address(), news.end());
            device.synchronize();
        }
        device.free(host);
        begin();
        device.synchronize();
    }

    /// Positions that there are angles for.
    int longest() {
        return limits.maxLength();
    }

    /// What takes vectors of so many columns in the layer's place.
    Matrix next(int columns) {
        return new Matrix(0, 0, WeightFormat.FP8_ROWS, 16, columns, false);
    }

    float[] randoms(int count) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    private long vector(float[] values) {
        if (values == null) {
            return 0;
        }
        DeviceMemory vector = device.allocate(4L * values.length);
        vectors.add(vector);
        put(vector.address(), values);
        return vector.address();
    }

    void put(long to, float[] values) {
        HostMemory host = device.allocateHost(4 * values.length);
        MemorySegment.copy(values, 0, host.segment(), ValueLayout.JAVA_FLOAT, 0, values.length);
        device.upload(to, host, 4L * values.length);
        device.synchronize();
        device.free(host);
    }

    /// As bf16; rounds the values to that.
    void putHalves(long to, float[] values) {
        HostMemory host = device.allocateHost(2 * values.length);
        for (int i = 0; i < values.length; i++) {
            values[i] = ScalarFormats.toBf16(values[i]);
            host.segment().setAtIndex(ValueLayout.JAVA_SHORT, i, (short) (Float.floatToRawIntBits(values[i]) >>> 16));
        }
        device.upload(to, host, 2L * values.length);
        device.synchronize();
        device.free(host);
    }

    float[] floats(long from, int count) {
        return read(from, count, 4, (segment, i) -> segment.getAtIndex(ValueLayout.JAVA_FLOAT, i));
    }

    float[] halves(long from, int count) {
        return read(
                from,
                count,
                2,
                (segment, i) -> Float.intBitsToFloat(segment.getAtIndex(ValueLayout.JAVA_SHORT, i) << 16));
    }

    float[] eights(long from, int count) {
        return read(from, count, 1, (segment, i) -> {
            int code = segment.get(ValueLayout.JAVA_BYTE, i);
            return Float.intBitsToFloat((code & 0x80) << 24 | (code & 0x7f) << 20) * 0x1p120f;
        });
    }

    private interface Element {
        float at(MemorySegment segment, int index);
    }

    private float[] read(long from, int count, int bytes, Element element) {
        HostMemory host = device.allocateHost(bytes * count);
        device.download(host, from, (long) bytes * count);
        device.synchronize();
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = element.at(host.segment(), i);
        }
        device.free(host);
        return values;
    }

    @Override
    public void close() {
        device.synchronize();
        deviceArena.close();
        vectors.forEach(device::free);
        device.free(words);
        device.free(results);
        arena.close();
    }
}
