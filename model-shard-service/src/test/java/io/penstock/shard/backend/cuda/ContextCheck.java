package io.penstock.shard.backend.cuda;

import io.penstock.model.config.ModelConfig;
import io.penstock.model.config.RopeScaling;
import io.penstock.shard.backend.SlotSampling;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.StepPlan;
import io.penstock.shard.backend.cuda.CudaDevice.HostMemory;
import io.penstock.shard.backend.cuda.Launcher.Grid;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import jcuda.driver.CUevent;
import jcuda.driver.CUgraphExec;

/// `contexts.cu` against `attention.cu`, on the same keys, values and queries: mixed lengths, all ways in which heads
/// share keys, sizes of KV blocks, both kinds of keys and values; the same bits each time. Then both kernels' times,
/// and what
/// part of the read ceiling their bytes are.
final class ContextCheck {
    private static final String SWITCH = "penstock.cuda.streamed-contexts";
    private static final int LAYERS = 4;
    private static final int TIMED = 40;
    // A sanitizer's times are none.
    private static final boolean TIMES = Boolean.parseBoolean(System.getProperty("penstock.check.times", "true"));

    private ContextCheck() {}

    /// @param lengths of the rows' contexts, their tokens in the step included
    /// @param counts of those tokens
    private record Case(String name, int head, int heads, int kvHeads, int block, int[] lengths, int[] counts) {
        ModelConfig config() {
            return new ModelConfig(
                    ModelConfig.Architecture.LLAMA,
                    LAYERS,
                    64,
                    32,
                    heads,
                    kvHeads,
                    head,
                    64,
                    65_536,
                    1e-5,
                    1e4,
                    ModelConfig.RopeLayout.HALVES,
                    new RopeScaling.None(),
                    false,
                    false);
        }
    }

    private static Case mixed(
            String name, int head, int heads, int kvHeads, int block, int rows, int longest, int most) {
        Random random = new Random(rows);
        int[] counts = random.ints(rows, 1, most + 1).toArray();
        int[] lengths = IntStream.of(counts)
                .map(count -> count + random.nextInt(longest))
                .toArray();
        return new Case(name, head, heads, kvHeads, block, lengths, counts);
    }

    private static Case even(int rows, int length) {
        int[] counts = new int[rows];
        Arrays.fill(counts, 1);
        int[] lengths = new int[rows];
        Arrays.fill(lengths, length);
        return new Case("%d rows of %d".formatted(rows, length), 128, 28, 4, 16, lengths, counts);
    }

    static void run() {
        try (CudaDevice device = CudaDevice.open(0);
                CudaModules modules = new CudaModules(device)) {
            if (device.computeCapability() != 90) {
                System.out.println("     contexts: not on this device");
                return;
            }
            for (CudaOptions.Kv kv : CudaOptions.Kv.values()) {
                for (Case each : List.of(
                        mixed("many", 128, 28, 4, 16, 256, 400, 1),
                        mixed("several tokens, blocks of 8", 64, 14, 2, 8, 40, 1_000, 2),
                        mixed("blocks of 32", 128, 16, 8, 32, 9, 3_000, 8),
                        mixed("a head each, blocks of 64", 128, 8, 8, 64, 20, 700, 16),
                        mixed("16 heads share, blocks of 128", 128, 64, 4, 128, 3, 20_000, 1),
                        mixed("small heads", 64, 8, 8, 16, 33, 2_000, 1),
                        mixed("small heads, many", 64, 32, 8, 16, 300, 90, 3),
                        new Case("one key", 128, 28, 4, 16, new int[] {1}, new int[] {1}),
                        new Case("all new", 128, 12, 2, 16, new int[] {2, 1, 2}, new int[] {2, 1, 2}),
                        new Case("one long", 128, 28, 4, 16, new int[] {30_001}, new int[] {1}))) {
                    compare(device, modules, each, kv);
                }
                List<Case> timed =
                        List.of(even(64, 192), even(256, 192), even(8, 8_192), even(8, 32_768), even(1, 32_768));
                for (Case each : TIMES ? timed : List.<Case>of()) {
                    time(device, modules, each, kv);
                }
            }
        }
    }

    /// A step's memory with random keys, values and queries, and both ways to attend.
    private static final class Stage implements AutoCloseable {
        final CudaDevice device;
        final ShardShape shape;
        final Case what;
        final StepBucket bucket;
        final StepMemory memory;
        final ForwardPass streamed;
        final ForwardPass plain;
        private final Arena arena = Arena.ofConfined();
        private final HostMemory results;
        private final DeviceArena deviceArena;

        Stage(CudaDevice device, CudaModules modules, Case what, CudaOptions.Kv kv) {
            this.device = device;
            this.what = what;
            int rows = what.lengths.length;
            int tokens = IntStream.of(what.counts).sum();
            int longest = IntStream.of(what.lengths).max().orElseThrow();
            int blocksEach = (longest + what.block - 1) / what.block;
            int blocks = rows * blocksEach;
            ModelConfig config = what.config();
            shape = ShardShape.of(config, SequenceDriver.whole(config));
            StepLimits limits = new StepLimits(what.block, rows, Math.max(tokens, rows), longest);
            List<StepBucket> buckets = StepBucket.of(limits, shape, device.multiprocessors(), false);
            bucket =
                    StepBucket.of(limits, shape, device.multiprocessors(), true).getLast();
            StepBucket few = new StepBucket(
                    bucket.tokens(), bucket.rows(), false, buckets.getLast().splits());
            results = device.allocateHost(StepMemory.resultBytes(limits));
            StepMemory.Formats formats = new StepMemory.Formats(false, false, kv);
            DeviceArena measured = DeviceArena.measuring();
            StepMemory.lay(shape, limits, List.of(few), blocks, device.multiprocessors(), formats, measured, results);
            deviceArena = DeviceArena.of(device, measured.used());
            deviceArena.zero();
            memory = StepMemory.lay(
                    shape, limits, List.of(few), blocks, device.multiprocessors(), formats, deviceArena, results);
            CudaOptions.Computing computing =
                    new CudaOptions.Computing(false, false, false, CudaOptions.Activations.BF16, kv);
            streamed = pass(modules, limits, computing, true);
            plain = pass(modules, limits, computing, false);
            Kernel random = modules.kernel("elementwise", "randomWeights");
            Grid grid = Grid.of(8 * device.multiprocessors(), 256);
            device.launch(random, grid, memory.queries(), (long) tokens * shape.attentionSize(), 1f, 3);
            if (kv == CudaOptions.Kv.BF16) {
                device.launch(random, grid, memory.keys(0), memory.cacheHalf(), 1f, 4);
            } else {
                eights();
            }
            table(rows, blocksEach, blocks);
            describe(limits, few);
        }

        private ForwardPass pass(
                CudaModules modules, StepLimits limits, CudaOptions.Computing computing, boolean streams) {
            System.setProperty(SWITCH, Boolean.toString(streams));
            return new ForwardPass(
                    device,
                    modules,
                    null,
                    shape,
                    new DeviceWeights(0, List.of(), 0, null),
                    memory,
                    limits,
                    computing,
                    arena);
        }

        // Codes of e4m3 below 2, of either sign, a piece again and again.
        private void eights() {
            int piece = 1 << 20;
            HostMemory host = device.allocateHost(piece);
            Random random = new Random(9);
            for (int i = 0; i < piece; i++) {
                host.segment().set(ValueLayout.JAVA_BYTE, i, (byte) (random.nextInt() & 0xbf));
            }
            long bytes = 2 * memory.cacheHalf();
            // Layers and heads must not be alike: a piece is no multiple of what a head has.
            for (long at = 0; at < bytes; at += piece - 4_112) {
                device.upload(memory.keys(0) + at, host, Math.min(piece - 4_112, bytes - at));
            }
            device.synchronize();
            device.free(host);
        }

        private void table(int rows, int each, int blocks) {
            HostMemory host = device.allocateHost(4 * rows * memory.maxBlocks());
            for (int row = 0; row < rows; row++) {
                for (int i = 0; i < each; i++) {
                    // No two neighbours are neighbours in memory.
                    long scattered = (row * (long) each + i) * 7_919 % blocks;
                    int block = blocks % 7_919 == 0 ? row * each + i : (int) scattered;
                    host.segment().setAtIndex(ValueLayout.JAVA_INT, row * (long) memory.maxBlocks() + i, block);
                }
            }
            device.upload(memory.table(), host, 4L * rows * memory.maxBlocks());
            device.synchronize();
            device.free(host);
        }

        private void describe(StepLimits limits, StepBucket few) {
            int rows = what.lengths.length;
            HostMemory words = device.allocateHost(4 * StepDescriptor.capacity(limits));
            StepDescriptor descriptor =
                    new StepDescriptor(words.segment(), limits, StreamedContexts.blocks(device.multiprocessors()));
            descriptor.begin(few, 0);
            descriptor.writeAdmissions(64);
            StepPlan plan = new StepPlan(limits, new int[rows][memory.maxBlocks()], new SlotSampling[rows]);
            plan.rows = rows;
            for (int row = 0; row < rows; row++) {
                plan.slot[row] = row;
                plan.start[row] = what.lengths[row] - what.counts[row];
                plan.count[row] = what.counts[row];
                plan.tokenOffset[row] = plan.totalTokens;
                plan.totalTokens += what.counts[row];
            }
            descriptor.describe(plan, shape.group(), shape.kvHeads(), true, 64, null);
            streamed.begin(few, words.address(), descriptor.end());
            device.synchronize();
            device.free(words);
        }

        StepBucket few() {
            return new StepBucket(bucket.tokens(), bucket.rows(), false, bucket.splits());
        }

        /// bf16 as floats, `[tokens, heads, head size]`.
        float[] attended(ForwardPass pass) {
            int count = IntStream.of(what.counts).sum() * shape.attentionSize();
            HostMemory host = device.allocateHost(2 * count);
            // What is not written must be seen.
            host.segment().fill((byte) 0xff);
            device.upload(memory.attended(), host, 2L * count);
            pass.attend(few(), LAYERS - 1);
            device.download(host, memory.attended(), 2L * count);
            device.synchronize();
            float[] values = new float[count];
            MemorySegment from = host.segment();
            for (int i = 0; i < count; i++) {
                values[i] = Float.intBitsToFloat(from.getAtIndex(ValueLayout.JAVA_SHORT, i) << 16);
            }
            device.free(host);
            return values;
        }

        double micros(ForwardPass pass) {
            pass.attend(few(), 0);
            CUgraphExec graph = device.capture(() -> {
                for (int i = 0; i < TIMED; i++) {
                    pass.attend(few(), i % LAYERS);
                }
            });
            CUevent from = device.event();
            CUevent to = device.event();
            double best = Double.POSITIVE_INFINITY;
            for (int round = 0; round < 3; round++) {
                device.record(from);
                device.launch(graph);
                device.record(to);
                device.synchronize();
                best = Math.min(best, 1e3 * device.millisBetween(from, to) / TIMED);
            }
            device.destroy(from);
            device.destroy(to);
            device.destroy(graph);
            return best;
        }

        @Override
        public void close() {
            device.synchronize();
            deviceArena.close();
            device.free(results);
            arena.close();
        }
    }

    private static void compare(CudaDevice device, CudaModules modules, Case each, CudaOptions.Kv kv) {
        try (Stage stage = new Stage(device, modules, each, kv)) {
            float[] expected = stage.attended(stage.plain);
            float[] actual = stage.attended(stage.streamed);
            float[] again = stage.attended(stage.streamed);
            int head = each.head;
            double worst = 0;
            for (int at = 0; at < expected.length; at += head) {
                double largest = 0;
                double error = 0;
                for (int i = at; i < at + head; i++) {
                    largest = Math.max(largest, Math.abs(expected[i]));
                    double difference = Math.abs(expected[i] - actual[i]);
                    // Not a number is never good.
                    error = difference <= error ? error : difference;
                }
                double relative = error / largest;
                worst = relative <= worst ? worst : relative;
            }
            GpuCheck.report(
                    worst <= 1.0 / 128 && Arrays.equals(actual, again),
                    "contexts, %s, %s: differ by %.1e of a head's largest, %s",
                    kv,
                    each.name,
                    worst,
                    Arrays.equals(actual, again) ? "the same each time" : "NOT the same each time");
        }
    }

    private static void time(CudaDevice device, CudaModules modules, Case each, CudaOptions.Kv kv) {
        try (Stage stage = new Stage(device, modules, each, kv)) {
            double bytes = 2.0
                    * kv.bytes()
                    * each.kvHeads
                    * each.head
                    * IntStream.of(each.lengths).sum();
            double plain = stage.micros(stage.plain);
            double streamed = stage.micros(stage.streamed);
            System.out.printf(
                    "     contexts, %s, %s: %.1f us = %.2f TB/s; plain %.1f us = %.2f TB/s%n",
                    kv, each.name, streamed, bytes / streamed / 1e6, plain, bytes / plain / 1e6);
        }
    }
}
