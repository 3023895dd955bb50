package io.penstock.shard.backend.cuda;

import io.penstock.model.config.ModelConfig;
import io.penstock.model.sampling.SamplingParameters;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.cuda.SequenceDriver.Sequence;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;

/// This engine's rows of `bench/gpu/run.sh table`: the bare backend at the shape of a 7B model
/// with random weights of one format. Each row prints [Figure]s.
final class TableBench {
    private static final int BLOCK = 16;
    private static final int STEP_TOKENS = 2_048;
    // Steps that nobody times: clocks rise, kernels come onto the device.
    private static final int WARM = 32;
    private static final int LISTS = 2;
    private static final int PROMPTS = 7;

    private final CudaBackend backend;
    private final ShardShape shape;

    private TableBench(CudaBackend backend, ShardShape shape) {
        this.backend = backend;
        this.shape = shape;
    }

    /// @param rows `machine`, `decode`, `many`, `contexts`, `prefill`, `mix`, `idle`
    /// @param list of requests, for `mix`
    static void run(Path list, List<String> rows) throws IOException {
        ModelConfig config = GpuCheck.qwen7b();
        ShardShape shape = ShardShape.of(config, SequenceDriver.whole(config));
        try (CudaBackend backend = new CudaBackend(GpuBench.options(true))) {
            double ceiling = rows.contains("machine") ? GpuBench.ceiling(backend) : 0;
            backend.loadRandom(shape);
            TableBench bench = new TableBench(backend, shape);
            for (String row : rows) {
                long begun = System.nanoTime();
                switch (row) {
                    case "machine" -> bench.machine(ceiling);
                    case "decode" -> {
                        for (int batch : new int[] {1, 2, 4, 8, 16, 64}) {
                            bench.decode("decode", new StepLimits(BLOCK, 64, STEP_TOKENS, 4_096), batch, 128, 512);
                        }
                    }
                    case "many" -> {
                        for (int batch : new int[] {8, 16, 64, 256}) {
                            bench.decode("decode", new StepLimits(BLOCK, 256, STEP_TOKENS, 2_048), batch, 128, 128);
                        }
                    }
                    case "contexts" -> {
                        for (int context : new int[] {8_192, 32_768}) {
                            for (int batch : new int[] {1, 8}) {
                                StepLimits limits = new StepLimits(BLOCK, 8, STEP_TOKENS, context);
                                bench.decode("decode", limits, batch, context - 128, 127);
                            }
                        }
                    }
                    case "prefill" -> bench.prefill();
                    case "mix" -> {
                        bench.list("mix of 500", GpuLoad.read(list));
                        bench.list("256 x 512/256", Collections.nCopies(256, new GpuLoad.Lengths(512, 256)));
                    }
                    // At the context of the step that run.sh shows a profiler.
                    case "idle" -> {
                        for (int batch : new int[] {1, 64}) {
                            bench.decode("idle", new StepLimits(BLOCK, 64, STEP_TOKENS, 2_048), batch, 128, 64);
                        }
                    }
                    default -> throw new IllegalArgumentException("no row " + row);
                }
                System.out.printf("     row %s took %.1f s%n", row, (System.nanoTime() - begun) / 1e9);
            }
        }
    }

    private Figure figure(String row, double value, String unit) {
        return Figure.of(row, value, unit).with("format", GpuBench.described());
    }

    private void machine(double ceiling) {
        figure("ceiling", ceiling / 1e12, "TB/s")
                .with("machine", backend.device())
                .print();
        figure("gemm", GpuBench.productRate(backend) / 1e12, "TFLOP/s").print();
    }

    /// A step's time while the context goes from one length to another.
    private void decode(String row, StepLimits limits, int batch, int context, int steps) {
        SequenceDriver driver = new SequenceDriver(backend, limits);
        List<Sequence> sequences = GpuBench.sequences(driver, batch, context - WARM, WARM + 1);
        driver.run(sequences, false, 2);
        sequences.forEach(sequence -> sequence.wanted += steps);
        long begun = System.nanoTime();
        driver.run(sequences, false, 2);
        double step = (System.nanoTime() - begun) / 1e9 / steps;
        long kv = (context + steps / 2L) * batch * shape.kvBlockBytes(1, GpuBench.KV);
        figure(row, 1e3 * step, "ms")
                .with("batch", batch)
                .with("context", "%d-%d".formatted(context, context + steps))
                .with("weights", backend.weightBytes())
                .with("kv", kv)
                .print();
    }

    private void prefill() {
        SequenceDriver driver = new SequenceDriver(backend, new StepLimits(BLOCK, 8, STEP_TOKENS, 8_208));
        Random random = new Random(2);
        for (int tokens : new int[] {128, 2_048, 8_192}) {
            double[] seconds = new double[PROMPTS];
            for (int i = 0; i < PROMPTS; i++) {
                Sequence sequence = new Sequence(random.ints(tokens, 0, 150_000).toArray(), null, 1);
                driver.admit(0, sequence, SamplingParameters.greedy(), -1);
                long begun = System.nanoTime();
                driver.run(List.of(sequence), false, 2);
                seconds[i] = (System.nanoTime() - begun) / 1e9;
                driver.retire(0, sequence);
            }
            // The first comes to a device that has rested a little; under load its clocks are lower.
            System.out.printf(
                    "     prompts of %d tokens, one behind the other: first %.2f, last %.2f ms%n",
                    tokens, 1e3 * seconds[0], 1e3 * seconds[PROMPTS - 1]);
            Arrays.sort(seconds);
            figure("first token", 1e3 * seconds[PROMPTS / 2], "ms")
                    .with("tokens", tokens)
                    .with("flops", GpuBench.operations(shape, tokens))
                    .print();
        }
    }

    private void list(String name, List<GpuLoad.Lengths> requests) {
        double seconds = GpuLoad.time(backend, name, requests, LISTS);
        long tokens = requests.stream()
                .mapToLong(each -> each.prompt() + each.output())
                .sum();
        figure(name, tokens / seconds, "tok/s").print();
    }

    /// From the process' start to the first token of a checkpoint that lies in the page cache, and
    /// how fast its weights came.
    ///
    /// @param from where the files' bytes are: `disk`, `page cache`
    static void start(Path folder, String from) throws IOException {
        try (CudaBackend backend = GpuCheck.load(folder, CudaOptions.defaults(), SequenceDriver::whole)) {
            SequenceDriver driver = new SequenceDriver(backend, new StepLimits(BLOCK, 64, STEP_TOKENS, 4_096));
            driver.run(GpuBench.sequences(driver, 1, 16, 1), false, 1);
            Instant began = ProcessHandle.current().info().startInstant().orElseThrow();
            double seconds = Duration.between(began, Instant.now()).toNanos() / 1e9;
            Figure.of("load, " + from, backend.loadReport().gigabytesASecond(), "GB/s")
                    .with("format", "BF16")
                    .print();
            if (from.equals("page cache")) {
                Figure.of("start", seconds, "s").with("format", "BF16").print();
            }
            System.out.printf("     from the %s: %.2f s from the process' start to its first token%n", from, seconds);
        }
    }
}
