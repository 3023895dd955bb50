package io.penstock.bench.cpu;

import io.penstock.model.checkpoint.Checkpoint;
import io.penstock.model.checkpoint.Checkpoints;
import io.penstock.model.tensor.RankSlice;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.cpu.CpuBackend;
import io.penstock.shard.backend.cpu.CpuOptions;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/// `./penstock bench cpu`: what the bare CPU backend does in a second, in llama-bench's terms, to be
/// run in turns with it.
@Command(
        name = "cpu",
        description = "Measures the bare CPU backend: no services, one sequence or several.",
        mixinStandardHelpOptions = true)
public final class CpuBench implements Callable<Integer> {
    private static final int BLOCK_TOKENS = 16;
    private static final int STEP_TOKENS = 512;
    private static final int SEQUENCES = 32;
    private static final int LONGEST = 4_096;

    @Parameters(paramLabel = "MODEL", description = "GGUF files")
    private List<Path> models;

    @Option(names = "--threads", defaultValue = "2", description = "threads (default: ${DEFAULT-VALUE})")
    private int threads;

    @Option(
            names = "--tests",
            split = ",",
            defaultValue = "pp512,tg128,tg64@1024,tg64x8",
            description = "ppN: N prompt tokens; tgN: N generated tokens, @D after a prompt of D, xS for each of S"
                    + " sequences (default: ${DEFAULT-VALUE})")
    private List<String> tests;

    @Option(names = "--repeats", defaultValue = "5", description = "counted runs (default: ${DEFAULT-VALUE})")
    private int repeats;

    @Option(names = "--warm-ups", defaultValue = "3", description = "runs before those (default: ${DEFAULT-VALUE})")
    private int warmUps;

    @Override
    public Integer call() {
        for (Path model : models) {
            measure(model);
        }
        return 0;
    }

    private void measure(Path model) {
        Checkpoint checkpoint = Checkpoints.open(model);
        StepLimits limits = new StepLimits(BLOCK_TOKENS, SEQUENCES, STEP_TOKENS, LONGEST);
        try (CpuBackend backend = new CpuBackend(new CpuOptions(threads, 2L << 30))) {
            RankSlice slice = RankSlice.of(checkpoint.config(), 0, 1, 0, 1);
            long began = System.nanoTime();
            backend.load(checkpoint, slice, Map.of(model.getFileName().toString(), model), bytes -> {});
            System.out.printf(
                    Locale.ROOT,
                    "%s on %s, loaded in %.2f s%n",
                    model.getFileName(),
                    backend.device(),
                    (System.nanoTime() - began) / 1e9);
            BareLoop loop = new BareLoop(backend, limits, checkpoint.config().vocabularySize());
            for (String test : tests) {
                measure(loop, BareLoop.Load.parse(test), test);
            }
        }
    }

    private void measure(BareLoop loop, BareLoop.Load load, String test) {
        // The compiler has seen all of it before the first figure that counts.
        for (int i = 0; i < warmUps; i++) {
            loop.tokensPerSecond(load);
        }
        double[] rates = new double[repeats];
        for (int i = 0; i < repeats; i++) {
            rates[i] = loop.tokensPerSecond(load);
        }
        Arrays.sort(rates);
        System.out.printf(
                Locale.ROOT,
                "%-14s median %8.1f   least %8.1f   most %8.1f tok/s%n",
                test,
                rates[repeats / 2],
                rates[0],
                rates[repeats - 1]);
    }
}
