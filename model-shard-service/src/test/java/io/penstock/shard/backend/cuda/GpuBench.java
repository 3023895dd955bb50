package io.penstock.shard.backend.cuda;

import io.penstock.model.config.ModelConfig;
import io.penstock.model.sampling.SamplingParameters;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.cuda.CudaDevice.DeviceMemory;
import io.penstock.shard.backend.cuda.Launcher.Grid;
import io.penstock.shard.backend.cuda.SequenceDriver.Sequence;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.Random;

/// Timings at the shape of a 7B model with random weights, and what the memory can do in the same
/// run.
final class GpuBench {
    private static final WeightFormat FORMAT =
            WeightFormat.valueOf(System.getProperty("penstock.bench.format", "BF16"));
    private static final CudaOptions.Activations ACTIVATIONS =
            CudaOptions.Activations.valueOf(System.getProperty("penstock.bench.activations", "BF16"));
    static final CudaOptions.Kv KV = CudaOptions.Kv.valueOf(System.getProperty("penstock.bench.kv", "BF16"));
    private static final boolean DETERMINISTIC = Boolean.getBoolean("penstock.bench.deterministic");

    private static final int STEP_TOKENS = 2_048;
    private static final int TIMED = 20;

    private GpuBench() {}

    static CudaOptions options(boolean graphs) {
        return new CudaOptions(
                0,
                0.9,
                new CudaOptions.Computing(graphs, !DETERMINISTIC, DETERMINISTIC, ACTIVATIONS, KV),
                CudaOptions.Meeting.AUTO,
                Optional.of(new DeviceWeights.Formats(FORMAT, FORMAT)));
    }

    /// Lists of requests at once: lines as [GpuLoad#read] takes them, and 256 of 512 tokens in and 256 out.
    static void mix(Path list) throws IOException {
        ModelConfig config = GpuCheck.qwen7b();
        CudaOptions options = options(true);
        try (CudaBackend backend = new CudaBackend(options)) {
            System.out.printf("%s, %s%n", backend.device(), described());
            backend.loadRandom(ShardShape.of(config, SequenceDriver.whole(config)));
            GpuLoad.time(backend, list.getFileName().toString(), GpuLoad.read(list), 3);
            GpuLoad.time(backend, "512 in, 256 out", Collections.nCopies(256, new GpuLoad.Lengths(512, 256)), 3);
            for (int batch : new int[] {64, 128, 256}) {
                // A step's time at 128 to 256 tokens of context: what 128 tokens take more than one.
                double one = new GpuLoad(backend).run(Collections.nCopies(batch, new GpuLoad.Lengths(128, 1)));
                double all = new GpuLoad(backend).run(Collections.nCopies(batch, new GpuLoad.Lengths(128, 128)));
                System.out.printf(
                        "decode batch %3d, 128 in, 128 out: %.3f ms a step%n", batch, (all - one) / 127 * 1e3);
            }
        }
    }

    /// So many requests of 64 tokens out (one, where prompts fill steps), without graphs: for a profiler.
    static void profile(int batch, int prompt) {
        ModelConfig config = GpuCheck.qwen7b();
        CudaOptions options = options(false);
        try (CudaBackend backend = new CudaBackend(options)) {
            backend.loadRandom(ShardShape.of(config, SequenceDriver.whole(config)));
            GpuLoad load = new GpuLoad(backend);
            load.run(Collections.nCopies(batch, new GpuLoad.Lengths(prompt, prompt < STEP_TOKENS ? 64 : 1)));
            load.checkProfiled();
        }
    }

    /// Each kernel's time in prompts that come one behind the other, or in steps of so many sequences: of the first,
    /// when the device has rested, and of one after many.
    ///
    /// @param batch 0 for prompts
    /// @param tokens of a prompt; of context
    static void times(int batch, int tokens) {
        ModelConfig config = GpuCheck.qwen7b();
        try (CudaBackend backend = new CudaBackend(options(false));
                KernelTimes times = new KernelTimes(backend.cudaDevice())) {
            backend.loadRandom(ShardShape.of(config, SequenceDriver.whole(config)));
            StepLimits limits = new StepLimits(16, Math.max(8, batch), STEP_TOKENS, tokens + TIMED + 2);
            SequenceDriver driver = new SequenceDriver(backend, limits);
            List<Sequence> sequences = sequences(driver, Math.max(1, batch), tokens, 1);
            driver.run(sequences, false, 1);
            for (int i = 1; i <= TIMED; i++) {
                if (batch == 0) {
                    driver.retire(0, sequences.getFirst());
                    sequences = sequences(driver, 1, tokens, 1);
                } else {
                    sequences.forEach(sequence -> sequence.wanted++);
                }
                times.begin();
                long begun = System.nanoTime();
                driver.run(sequences, false, 1);
                double wall = (System.nanoTime() - begun) / 1e6;
                List<KernelTimes.Share> shares = times.end();
                System.out.printf(
                        "%s %d, %d tokens, round %d: %.2f ms, in kernels %.2f ms%n",
                        batch == 0 ? "prompt" : "step of",
                        batch,
                        tokens,
                        i,
                        wall,
                        shares.stream().mapToDouble(KernelTimes.Share::millis).sum());
                // The second: in the first, kernels come onto the device.
                if (i == 2 || i == TIMED) {
                    for (KernelTimes.Share share : shares) {
                        System.out.printf("%9.3f ms %5d  %s%n", share.millis(), share.count(), share.name());
                    }
                }
            }
        }
    }

    static void run(List<String> what) {
        ModelConfig config = GpuCheck.qwen7b();
        boolean quick = Integer.getInteger("penstock.bench.steps") != null;
        CudaOptions options = options(!quick);
        long start = System.nanoTime();
        try (CudaBackend backend = new CudaBackend(options)) {
            double ceiling = ceiling(backend);
            System.out.printf(
                    "%s, %s; read ceiling (8 GiB, plain loads) %.3f TB/s%n",
                    backend.device(), described(), ceiling / 1e12);
            ShardShape shape = ShardShape.of(config, SequenceDriver.whole(config));
            backend.loadRandom(shape);
            int most = what.stream().mapToInt(Integer::parseInt).max().orElse(1);
            StepLimits limits = new StepLimits(16, Math.max(64, most), 2_048, 4_096);
            long begun = System.nanoTime();
            SequenceDriver first = new SequenceDriver(backend, limits);
            System.out.printf(
                    "epoch configured in %.2f s; persistent kernel: %s%n",
                    (System.nanoTime() - begun) / 1e9,
                    backend.decodeKernel() == null
                            ? "none"
                            : backend.decodeKernel().tuning());
            List<Sequence> one = sequences(first, 1, 16, 1);
            first.run(one, false, 1);
            System.out.printf(
                    "first token %.2f s after the process' own start of work%n", (System.nanoTime() - start) / 1e9);
            for (String batch : what) {
                decode(backend, limits, shape, Integer.parseInt(batch), ceiling);
            }
            if (backend.decodeKernel() != null) {
                time(backend, limits, 1, 383, 2);
                String[] names = {"all", "without attention", "gate, up and down", "logits", "gate and up", "attention"
                };
                int[] kinds = {0b111111, 0b111101, 0b011000, 0b100000, 0b001000, 0b000010};
                for (int i = 0; i < kinds.length; i++) {
                    System.out.printf("  kernel at context 384, %s: %s%n", names[i], backend.profile(kinds[i]));
                }
                System.out.printf("  a block's time in a phase, ns: %s%n", backend.trace(1));
                int last = Integer.parseInt(what.getLast());
                if (backend.decodeKernel().serves(last)) {
                    time(backend, limits, last, 383, 2);
                    System.out.printf("  with %d sequences: %s%n", last, backend.trace(last));
                }
            }
            if (quick) {
                return;
            }
            for (int tokens : new int[] {128, 512, 2_048}) {
                prefill(backend, limits, shape, tokens);
            }
        }
    }

    static String described() {
        return FORMAT
                + (ACTIVATIONS == CudaOptions.Activations.FP8 ? ", vectors FP8" : "")
                + (KV == CudaOptions.Kv.FP8 ? ", keys and values FP8" : "")
                + (DETERMINISTIC ? ", deterministic" : "");
    }

    static List<Sequence> sequences(SequenceDriver driver, int count, int prompt, int wanted) {
        Random random = new Random(1);
        List<Sequence> sequences = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            sequences.add(new Sequence(random.ints(prompt, 0, 128_000).toArray(), null, wanted));
            driver.admit(i, sequences.get(i), SamplingParameters.greedy(), -1);
        }
        return sequences;
    }

    // From 128 tokens of context on; the prompts' own time is measured with one token and taken
    // off.
    private static void decode(CudaBackend backend, StepLimits limits, ShardShape shape, int batch, double ceiling) {
        int steps = Integer.getInteger("penstock.bench.steps", 513);
        double prompt = time(backend, limits, batch, 128, 1);
        double all = time(backend, limits, batch, 128, steps);
        double step = (all - prompt) / (steps - 1);
        long kv = (long) (128 + steps / 2) * batch * shape.kvBlockBytes(1, KV);
        System.out.printf(
                "decode batch %3d: %.4f ms a step, %.1f tok/s, %.1f %% of the ceiling (weights), %.1f %% with KV%n",
                batch,
                step * 1e3,
                batch / step,
                100 * backend.weightBytes() / step / ceiling,
                100 * (backend.weightBytes() + kv) / step / ceiling);
    }

    private static double time(CudaBackend backend, StepLimits limits, int batch, int prompt, int wanted) {
        double best = Double.POSITIVE_INFINITY;
        for (int i = 0; i < 2; i++) {
            SequenceDriver driver = new SequenceDriver(backend, limits);
            List<Sequence> sequences = sequences(driver, batch, prompt, wanted);
            long begun = System.nanoTime();
            driver.run(sequences, false, 2);
            best = Math.min(best, (System.nanoTime() - begun) / 1e9);
        }
        return best;
    }

    private static void prefill(CudaBackend backend, StepLimits limits, ShardShape shape, int tokens) {
        double seconds = time(backend, limits, 1, tokens, 1);
        System.out.printf(
                "prefill %5d: %.2f ms to the first token, %.0f TFLOP/s%n",
                tokens, seconds * 1e3, operations(shape, tokens) / seconds / 1e12);
    }

    /// Multiplications and additions of a prompt.
    static double operations(ShardShape shape, int tokens) {
        double products = 2.0 * shape.layerWeights() * tokens;
        double attention = 2.0 * shape.layers() * shape.attentionSize() * tokens * tokens;
        return products + attention;
    }

    /// What the best bf16 product of 8,192 cubed reaches, in multiplications and additions a second.
    static double productRate(CudaBackend backend) {
        CudaDevice device = backend.cudaDevice();
        int extent = 8_192;
        long bytes = 2L * extent * extent;
        DeviceMemory memory = device.allocate(3 * bytes + CublasLt.WORKSPACE);
        double best = 0;
        try (CublasLt cublas = new CublasLt(memory.address() + 3 * bytes)) {
            Kernel random = backend.modules().kernel("elementwise", "randomWeights");
            device.launch(random, Grid.of(2_640, 256), memory.address(), bytes, 1f, 3);
            CublasLt.Operation operation = new CublasLt.Operation(
                    memory.address(), 0, memory.address() + bytes, 0, memory.address() + 2 * bytes);
            CublasLt.Extents extents =
                    new CublasLt.Extents(extent, extent, extent, extent, CublasLt.Operands.BF16, CublasLt.Outputs.BF16);
            for (CublasLt.Product product : cublas.candidates(extents, 8)) {
                float millis = device.leastMillis(6, () -> cublas.run(product, operation, device.streamHandle()));
                best = Math.max(best, 2.0 * extent * extent * extent / (millis / 1e3));
            }
        }
        device.free(memory);
        return best;
    }

    static double ceiling(CudaBackend backend) {
        CudaDevice device = backend.cudaDevice();
        long bytes = 8L << 30;
        DeviceMemory memory = device.allocate(bytes);
        Kernel random = backend.modules().kernel("elementwise", "randomWeights");
        Kernel read = backend.modules().kernel("elementwise", "readAll");
        device.launch(random, Grid.of(2_640, 256), memory.address(), bytes / 2, 1f, 3);
        double best = 0;
        for (int blocks : new int[] {8, 16}) {
            for (int threads : new int[] {256, 512}) {
                if (blocks * threads > 4_096) {
                    continue;
                }
                Grid grid = Grid.of(blocks * device.multiprocessors(), threads);
                float millis = device.leastMillis(
                        4, () -> device.launch(read, grid, memory.address(), bytes / 16, memory.address()));
                best = Math.max(best, bytes / (millis / 1e3));
            }
        }
        device.free(memory);
        return best;
    }
}
