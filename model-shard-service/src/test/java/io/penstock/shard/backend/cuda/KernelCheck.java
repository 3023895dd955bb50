package io.penstock.shard.backend.cuda;

import io.penstock.model.config.ModelConfig;
import io.penstock.model.config.RopeScaling;
import io.penstock.model.sampling.SamplingParameters;
import io.penstock.model.tensor.DType;
import io.penstock.model.tensor.Shape;
import io.penstock.shard.backend.SlotSampling;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.StepOutput;
import io.penstock.shard.backend.StepPlan;
import io.penstock.shard.backend.cuda.CudaDevice.DeviceMemory;
import io.penstock.shard.backend.cuda.CudaDevice.HostMemory;
import io.penstock.shard.backend.cuda.Launcher.Grid;
import io.penstock.shard.sampling.Sampler;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;

/// Single kernels against plain Java.
final class KernelCheck {
    private static final int ROWS = 48;

    private KernelCheck() {}

    static void run() {
        CudaDevice device = CudaDevice.open(0);
        CudaModules modules = new CudaModules(device);
        elements(device, modules);
        SmallCheck.run(device, modules);
        ProductCheck.run(device, modules);
        sampling(device, modules, 151_936, 6, 3);
        sampling(device, modules, 1_000, 6, 3);
        sampling(device, modules, 20_002, 2, 0.003);
        modules.close();
        device.close();
    }

    /// Stored values made ours, and ours made other formats.
    static void elements(CudaDevice device, CudaModules modules) {
        for (DType type : EnumSet.range(DType.F32, DType.Q4_1)) {
            conversion(device, modules, type, 0);
            conversion(device, modules, type, 2);
        }
        for (WeightFormat format : WeightFormat.values()) {
            for (boolean halves : new boolean[] {false, true}) {
                FormatCheck.run(device, modules, format, halves);
            }
        }
    }

    /// Our own products alone.
    ///
    /// @param few numbers of vectors, where a tool that watches every access is waited for; none for all
    static void products(int... few) {
        CudaDevice device = CudaDevice.open(0);
        CudaModules modules = new CudaModules(device);
        ProductCheck.run(device, modules, few);
        modules.close();
        device.close();
    }

    /// Gates and ups of many vectors beside cuBLASLt's.
    static void gated() {
        try (CudaDevice device = CudaDevice.open(0);
                CudaModules modules = new CudaModules(device)) {
            GatedTimes.run(device, modules);
        }
    }

    private static void conversion(CudaDevice device, CudaModules modules, DType type, int rowMap) {
        int rows = 24;
        int columns = 192;
        int from = 64;
        int count = 96;
        byte[] bytes = new byte[(int) type.bytesFor(Shape.of(rows, columns))];
        new Random(WeightUpload.code(type)).nextBytes(bytes);
        MemorySegment source = MemorySegment.ofArray(bytes);
        int rowBytes = bytes.length / rows;
        HostMemory host = device.allocateHost(bytes.length);
        host.segment().copyFrom(source);
        DeviceMemory staged = device.allocate(bytes.length);
        int targetRows = rowMap == 0 ? rows : 2 * rows;
        DeviceMemory result = device.allocate(2L * targetRows * count);
        device.upload(staged.address(), host, bytes.length);
        device.launch(
                modules.kernel("elementwise", "convert"),
                Grid.of(16, 256),
                staged.address(),
                WeightUpload.code(type),
                (long) rowBytes,
                rows,
                from,
                count,
                result.address(),
                0L,
                rowMap);
        HostMemory back = device.allocateHost(2 * targetRows * count);
        device.download(back, result.address(), 2L * targetRows * count);
        device.synchronize();
        int wrong = 0;
        for (int r = 0; r < rows; r++) {
            int target = rowMap == 0 ? r : r / 8 * 16 + r % 8 + 8;
            for (int c = 0; c < count; c++) {
                float expected = stored(type, source, r * rowBytes, from + c);
                short actual = back.segment().getAtIndex(ValueLayout.JAVA_SHORT, (long) target * count + c);
                float value = Float.intBitsToFloat(actual << 16);
                boolean same = Float.isNaN(expected) ? Float.isNaN(value) : value == rounded(expected);
                wrong += same ? 0 : 1;
            }
        }
        GpuCheck.report(wrong == 0, "convert %s, rows %d: %d of %d wrong", type, rowMap, wrong, rows * count);
        device.free(host);
        device.free(back);
        device.free(staged);
        device.free(result);
    }

    private static float stored(DType type, MemorySegment bytes, int row, int column) {
        int at = row + column / type.blockElements() * type.blockBytes();
        int e = column % type.blockElements();
        return switch (type) {
            case F32 -> bytes.get(ValueLayout.JAVA_FLOAT_UNALIGNED, at);
            case F16 -> half(bytes, at);
            case BF16 -> Float.intBitsToFloat(bytes.get(ValueLayout.JAVA_SHORT_UNALIGNED, at) << 16);
            case Q8_0 -> half(bytes, at) * bytes.get(ValueLayout.JAVA_BYTE, at + 2 + e);
            case Q4_0 -> half(bytes, at) * (nibble(bytes, at + 2, e) - 8);
            case Q4_1 -> Math.fma(half(bytes, at), nibble(bytes, at + 4, e), half(bytes, at + 2));
            case Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, F8_E4M3, F8_E5M2, I8, U8, I32, I64 ->
                throw new IllegalArgumentException("not converted: " + type);
        };
    }

    private static float half(MemorySegment bytes, int at) {
        return Float.float16ToFloat(bytes.get(ValueLayout.JAVA_SHORT_UNALIGNED, at));
    }

    private static int nibble(MemorySegment bytes, int at, int element) {
        return bytes.get(ValueLayout.JAVA_BYTE, at + element % 16) >> (element / 16 * 4) & 15;
    }

    private static float rounded(float value) {
        int bits = Float.floatToRawIntBits(value);
        bits += 0x7fff + (bits >> 16 & 1);
        return Float.intBitsToFloat(bits & 0xffff0000);
    }

    /// The same logits, the same sampling: the same tokens as the sampler of the CPU backend draws.
    ///
    /// @param spread of the logits: with little of it all are in one bin of the histogram
    static void sampling(CudaDevice device, CudaModules modules, int vocabulary, int positions, double spread) {
        ModelConfig config = new ModelConfig(
                ModelConfig.Architecture.LLAMA,
                1,
                64,
                32,
                1,
                1,
                64,
                vocabulary,
                4_096,
                1e-5,
                1e4,
                ModelConfig.RopeLayout.HALVES,
                new RopeScaling.None(),
                false,
                false);
        ShardShape shape = ShardShape.of(config, SequenceDriver.whole(config));
        StepLimits limits = new StepLimits(16, ROWS, ROWS, 64);
        StepBucket bucket = new StepBucket(ROWS, ROWS, false, 1);
        HostMemory results = device.allocateHost(StepMemory.resultBytes(limits));
        DeviceArena measured = DeviceArena.measuring();
        StepMemory.lay(shape, limits, List.of(bucket), 64, 132, StepMemory.Formats.WIDE, measured, results);
        Random random = new Random(vocabulary);
        int[][] table = new int[ROWS][4];
        SlotSampling[] slots = new SlotSampling[ROWS];
        for (int i = 0; i < ROWS; i++) {
            slots[i] = randomSampling(random, vocabulary, i);
        }
        Sampler sampler = new Sampler(vocabulary, limits);
        for (int i = 0; i < ROWS; i++) {
            sampler.admit(i, slots[i]);
        }
        HostMemory words = device.allocateHost(4 * StepDescriptor.capacity(limits) * ROWS);
        HostMemory upload = device.allocateHost(4 * ROWS * vocabulary);
        int wrong = 0;
        double worst = 0;
        try (Arena arena = Arena.ofConfined();
                DeviceArena memoryArena = DeviceArena.of(device, measured.used())) {
            memoryArena.zero();
            StepMemory memory = StepMemory.lay(
                    shape, limits, List.of(bucket), 64, 132, StepMemory.Formats.WIDE, memoryArena, results);
            Products unused = null;
            ForwardPass pass = new ForwardPass(
                    device,
                    modules,
                    unused,
                    shape,
                    new DeviceWeights(0, List.of(), 0, null),
                    memory,
                    limits,
                    CudaOptions.Computing.QUICKEST,
                    arena);
            for (int position = 0; position < positions; position++) {
                float[] logits = new float[ROWS * vocabulary];
                for (int i = 0; i < logits.length; i++) {
                    logits[i] = (float) (random.nextGaussian() * spread);
                    if (i % 3 == 0) {
                        // Ties, of which the lower id must win.
                        logits[i] = Math.round(logits[i] * 4) / 4f;
                    }
                }
                MemorySegment.copy(logits, 0, upload.segment(), ValueLayout.JAVA_FLOAT, 0, logits.length);
                device.upload(memory.logits(), upload, 4L * logits.length);
                StepDescriptor descriptor = pass.descriptor(words);
                descriptor.begin(bucket, position % 2);
                StepPlan plan = new StepPlan(limits, table, slots);
                plan.rows = ROWS;
                plan.totalTokens = ROWS;
                for (int i = 0; i < ROWS; i++) {
                    plan.slot[i] = i;
                    plan.start[i] = position;
                    plan.count[i] = 1;
                    plan.tokenOffset[i] = i;
                    plan.samples[i] = true;
                    plan.generatedPosition[i] = position;
                    if (position == 0) {
                        descriptor.appendBlock(i, 0, i);
                        descriptor.admit(i, slots[i]);
                    }
                }
                descriptor.writeAdmissions(vocabulary);
                descriptor.describe(plan, 1, 1, true, vocabulary, null);
                pass.begin(bucket, words.address(), descriptor.end());
                pass.sample(bucket, ROWS);
                device.synchronize();
                StepOutput output = new StepOutput(ROWS, StepMemory.MAX_ALTERNATIVES);
                for (int i = 0; i < ROWS; i++) {
                    sampler.sample(i, position, logits, i * vocabulary, output);
                    long at = ((long) position % 2 * ROWS + i) * StepMemory.RESULT_WORDS;
                    int token = results.segment().getAtIndex(ValueLayout.JAVA_INT, at);
                    float logprob = results.segment().getAtIndex(ValueLayout.JAVA_FLOAT, at + 1);
                    int alternatives = results.segment().getAtIndex(ValueLayout.JAVA_INT, at + 2);
                    boolean same = token == output.token[i] && alternatives == output.topCount[i];
                    worst = Math.max(worst, Math.abs(logprob - output.logprob[i]));
                    for (int k = 0; same && k < alternatives; k++) {
                        same = results.segment().getAtIndex(ValueLayout.JAVA_INT, at + 4 + k) == output.topTokens[i][k];
                        worst = Math.max(
                                worst,
                                Math.abs(results.segment().getAtIndex(ValueLayout.JAVA_FLOAT, at + 24 + k)
                                        - output.topLogprobs[i][k]));
                    }
                    if (!same) {
                        wrong++;
                        System.out.printf(
                                "     row %d position %d: %d, expected %d; %d alternatives, expected %d; %s%n",
                                i,
                                position,
                                token,
                                output.token[i],
                                alternatives,
                                output.topCount[i],
                                slots[i].parameters());
                    }
                }
            }
        }
        GpuCheck.report(
                wrong == 0 && worst < 1e-4,
                "sampling of %d, spread %s: %d of %d rows differ from the CPU's sampler, log-probabilities by %.1e",
                vocabulary,
                spread,
                wrong,
                positions * ROWS,
                worst);
        device.free(words);
        device.free(upload);
        device.free(results);
    }

    private static SlotSampling randomSampling(Random random, int vocabulary, int row) {
        Map<Integer, Float> bias = new HashMap<>();
        if (row % 5 == 1) {
            for (int i = 0; i < 20; i++) {
                bias.put(random.nextInt(vocabulary), random.nextFloat() * 20 - 10);
            }
        }
        boolean penalises = row % 4 == 2;
        SamplingParameters parameters = new SamplingParameters(
                row % 6 == 0 ? 0 : 0.3f + random.nextFloat(),
                row % 3 == 0 ? 1 : 0.5f + random.nextFloat() / 2,
                row % 7 < 3 ? 0 : 1 + random.nextInt(100),
                row % 8 == 3 ? 0.1f : 0,
                penalises ? 1.3f : 1,
                penalises ? 0.5f : 0,
                penalises ? 0.25f : 0,
                bias,
                random.nextLong());
        int[] tokens = random.ints(30, 0, vocabulary).toArray();
        int[] stops = row % 5 == 3 ? random.ints(4, 0, vocabulary).toArray() : new int[0];
        return new SlotSampling(
                parameters, tokens, 20, stops, row % 5 == 3 ? 4 : 0, row % 4 - 1 == 2 ? 20 : row % 4 - 1);
    }
}
