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
import jcuda.driver.CUgraphExec;

/// A step's memory with random keys, values and queries, and two ways to attend that a system property chooses from:
/// what [ContextCheck] and [PromptCheck] compare and time.
final class AttentionStage implements AutoCloseable {
    static final int LAYERS = 4;

    private static final int TIMED = 40;
    private static final int BF16_NAN = 0xff;

    /// @param block tokens of a KV block
    /// @param lengths of the rows' contexts, their tokens in the step included
    /// @param counts of those tokens
    record Case(String name, int head, int heads, int kvHeads, int block, int[] lengths, int[] counts) {
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

        int tokens() {
            return IntStream.of(counts).sum();
        }
    }

    final ForwardPass special;
    final ForwardPass plain;

    private final CudaDevice device;
    private final ShardShape shape;
    private final Case what;
    private final boolean prefill;
    private final StepLimits limits;
    private final StepBucket bucket;
    private final StepMemory memory;
    private final int[] blockOf;
    private final Arena arena = Arena.ofConfined();
    private final HostMemory results;
    private final DeviceArena deviceArena;

    /// @param choice system property that is true for the kernel which is checked, false for the plain one
    /// @param prefill whether rows go to the prefill kernel, all of them, or to the decode kernel
    AttentionStage(
            CudaDevice device, CudaModules modules, Case what, CudaOptions.Kv kv, String choice, boolean prefill) {
        this.device = device;
        this.what = what;
        this.prefill = prefill;
        int rows = what.lengths.length;
        int tokens = what.tokens();
        int longest = IntStream.of(what.lengths).max().orElseThrow();
        int blocksEach = (longest + what.block - 1) / what.block;
        int blocks = rows * blocksEach;
        ModelConfig config = what.config();
        shape = ShardShape.of(config, SequenceDriver.whole(config));
        limits = new StepLimits(what.block, rows, Math.max(tokens, rows), longest);
        StepBucket all =
                StepBucket.of(limits, shape, device.multiprocessors(), true).getLast();
        int splits = StepBucket.of(limits, shape, device.multiprocessors(), false)
                .getLast()
                .splits();
        bucket = new StepBucket(all.tokens(), all.rows(), prefill, splits);
        results = device.allocateHost(StepMemory.resultBytes(limits));
        StepMemory.Formats formats = new StepMemory.Formats(false, false, kv);
        DeviceArena measured = DeviceArena.measuring();
        StepMemory.lay(shape, limits, List.of(bucket), blocks, device.multiprocessors(), formats, measured, results);
        deviceArena = DeviceArena.of(device, measured.used());
        deviceArena.zero();
        memory = StepMemory.lay(
                shape, limits, List.of(bucket), blocks, device.multiprocessors(), formats, deviceArena, results);
        CudaOptions.Computing computing =
                new CudaOptions.Computing(false, false, prefill, CudaOptions.Activations.BF16, kv);
        special = pass(modules, computing, choice, true);
        plain = pass(modules, computing, choice, false);
        Kernel random = modules.kernel("elementwise", "randomWeights");
        Grid grid = Grid.of(8 * device.multiprocessors(), 256);
        device.launch(random, grid, memory.queries(), (long) tokens * shape.attentionSize(), 1f, 3);
        if (kv == CudaOptions.Kv.BF16) {
            device.launch(random, grid, memory.keys(0), memory.cacheHalf(), 1f, 4);
        } else {
            eights();
        }
        blockOf = new int[blocks];
        for (int i = 0; i < blocks; i++) {
            // No two neighbours are neighbours in memory.
            blockOf[i] = blocks % 7_919 == 0 ? i : (int) (i * 7_919L % blocks);
        }
        table(rows, blocksEach);
    }

    private ForwardPass pass(CudaModules modules, CudaOptions.Computing computing, String choice, boolean chosen) {
        String before = System.getProperty(choice);
        System.setProperty(choice, Boolean.toString(chosen));
        try {
            DeviceWeights none = new DeviceWeights(0, List.of(), 0, null);
            return new ForwardPass(device, modules, null, shape, none, memory, limits, computing, arena);
        } finally {
            if (before == null) {
                System.clearProperty(choice);
            } else {
                System.setProperty(choice, before);
            }
        }
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

    private void table(int rows, int each) {
        HostMemory host = device.allocateHost(4 * rows * memory.maxBlocks());
        for (int row = 0; row < rows; row++) {
            for (int i = 0; i < each; i++) {
                host.segment()
                        .setAtIndex(ValueLayout.JAVA_INT, row * (long) memory.maxBlocks() + i, blockOf[row * each + i]);
            }
        }
        device.upload(memory.table(), host, 4L * rows * memory.maxBlocks());
        device.synchronize();
        device.free(host);
    }

    /// Makes no numbers of all that lies in the last layer's blocks behind the rows' last tokens. For bf16.
    void spoil() {
        int each = blockOf.length / what.lengths.length;
        HostMemory host = device.allocateHost(2 * what.block * what.head);
        host.segment().fill((byte) BF16_NAN);
        for (int row = 0; row < what.lengths.length; row++) {
            for (int block = what.lengths[row] / what.block; block < each; block++) {
                int from = Math.max(0, what.lengths[row] - block * what.block);
                for (int kv = 0; kv < what.kvHeads; kv++) {
                    long position = ((long) blockOf[row * each + block] * what.kvHeads + kv) * what.block + from;
                    long at = 2 * position * what.head;
                    long bytes = 2L * (what.block - from) * what.head;
                    device.upload(memory.keys(LAYERS - 1) + at, host, bytes);
                    device.upload(memory.values(LAYERS - 1) + at, host, bytes);
                }
            }
        }
        device.synchronize();
        device.free(host);
    }

    /// Has a pass know the step, or one of fewer tokens.
    ///
    /// @param counts of each row's last tokens, whose queries stay the same; of 0, the row is left out
    private void describe(ForwardPass pass, int[] counts) {
        int rows = what.lengths.length;
        HostMemory words = device.allocateHost(4 * StepDescriptor.capacity(limits));
        StepDescriptor descriptor = pass.descriptor(words);
        descriptor.begin(bucket, 0);
        descriptor.writeAdmissions(64);
        StepPlan plan = new StepPlan(limits, new int[rows][memory.maxBlocks()], new SlotSampling[rows]);
        for (int row = 0; row < rows; row++) {
            plan.totalTokens += what.counts[row];
            if (counts[row] > 0) {
                plan.slot[plan.rows] = row;
                plan.start[plan.rows] = what.lengths[row] - counts[row];
                plan.count[plan.rows] = counts[row];
                plan.tokenOffset[plan.rows] = plan.totalTokens - counts[row];
                plan.rows++;
            }
        }
        descriptor.describe(plan, shape.group(), shape.kvHeads(), !prefill, 64, null);
        pass.begin(bucket, words.address(), descriptor.end());
        device.synchronize();
        device.free(words);
    }

    private float[] attended(ForwardPass pass) {
        return attended(pass, what.counts);
    }

    /// bf16 as floats, `[tokens, heads, head size]`, of tokens that are not in the step none.
    private float[] attended(ForwardPass pass, int[] counts) {
        describe(pass, counts);
        int count = what.tokens() * shape.attentionSize();
        HostMemory host = device.allocateHost(2 * count);
        // What is not written must be seen.
        host.segment().fill((byte) BF16_NAN);
        device.upload(memory.attended(), host, 2L * count);
        pass.attend(bucket, LAYERS - 1);
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

    /// Of a layer, the best of three rounds.
    double micros(ForwardPass pass) {
        describe(pass, what.counts);
        pass.attend(bucket, 0);
        CUgraphExec graph = device.capture(() -> {
            for (int i = 0; i < TIMED; i++) {
                pass.attend(bucket, i % LAYERS);
            }
        });
        double micros = 1e3 * device.leastMillis(3, () -> device.launch(graph)) / TIMED;
        device.destroy(graph);
        return micros;
    }

    /// Reports by how much of a head's largest value the two differ, and whether the special one always has the same.
    ///
    /// @param most that they may differ by: a last bit of bf16 is up to 1 / 128
    void compare(String name, double most) {
        float[] expected = attended(plain);
        float[] actual = attended(special);
        float[] again = attended(special);
        double worst = 0;
        for (int at = 0; at < expected.length; at += what.head) {
            double largest = 0;
            double error = 0;
            for (int i = at; i < at + what.head; i++) {
                largest = Math.max(largest, Math.abs(expected[i]));
                double difference = Math.abs(expected[i] - actual[i]);
                // Not a number is never good.
                error = difference <= error ? error : difference;
            }
            double relative = error / largest;
            worst = relative <= worst ? worst : relative;
        }
        GpuCheck.report(
                worst <= most && Arrays.equals(actual, again),
                "%s, %s: differ by %.1e of a head's largest, %s",
                name,
                what.name,
                worst,
                Arrays.equals(actual, again) ? "the same each time" : "NOT the same each time");
    }

    /// Reports whether tokens have the same bits when fewer of their row, and fewer rows, are in a step.
    void compareParts(String name) {
        float[] whole = attended(special);
        int rows = what.lengths.length;
        int[] last = new int[rows];
        int[] half = new int[rows];
        int[] one = new int[rows];
        for (int row = 0; row < rows; row++) {
            last[row] = 1;
            half[row] = (what.counts[row] + 1) / 2;
            one[row] = row == rows / 2 ? what.counts[row] * 2 / 3 : 0;
        }
        int different = 0;
        int tokens = 0;
        for (int[] counts : new int[][] {last, half, one}) {
            float[] part = attended(special, counts);
            int end = 0;
            for (int row = 0; row < rows; row++) {
                end += what.counts[row];
                int size = shape.attentionSize();
                tokens += counts[row];
                different += Arrays.equals(
                                part,
                                (end - counts[row]) * size,
                                end * size,
                                whole,
                                (end - counts[row]) * size,
                                end * size)
                        ? 0
                        : 1;
            }
        }
        GpuCheck.report(
                different == 0,
                "%s, %s: of %d tokens in other steps, bits of %d rows differ",
                name,
                what.name,
                tokens,
                different);
    }

    @Override
    public void close() {
        device.synchronize();
        deviceArena.close();
        device.free(results);
        arena.close();
    }
}
