package io.penstock.shard.backend.cuda;

import io.penstock.model.config.ModelConfig;
import io.penstock.model.sampling.SamplingParameters;
import io.penstock.shard.backend.cuda.CudaDevice.DeviceMemory;
import io.penstock.shard.backend.cuda.Launcher.Grid;
import java.util.Arrays;
import java.util.Map;
import jcuda.driver.CUevent;
import jcuda.driver.CUgraphExec;

/// How long each kernel between products and attention takes alone, as one of a graph of many launches, in the shape of
/// Qwen2.5-7B: with its inputs where the launch before has left them (warm), and behind a read of so much else that no
/// cache holds them (cold; the read's own time is taken off). TB/s are of the bytes that it must read and write.
final class SmallTimes {
    private static final int LAUNCHES = 40;
    private static final int ROUNDS = 5;
    private static final long ELSE = 256L << 20;

    private final SmallStage stage;
    private final CudaDevice device;
    private final Kernel readAll;
    private final DeviceMemory other;

    private SmallTimes(SmallStage stage, CudaModules modules, DeviceMemory other) {
        this.stage = stage;
        device = stage.device;
        this.other = other;
        readAll = modules.kernel("elementwise", "readAll");
    }

    static void run() {
        try (CudaDevice device = CudaDevice.open(0);
                CudaModules modules = new CudaModules(device)) {
            DeviceMemory other = device.allocate(ELSE + 256);
            device.zero(other);
            ModelConfig config = GpuCheck.qwen7b(1);
            for (int tokens : new int[] {64, 256, 2_048}) {
                for (CudaOptions.Activations activations : CudaOptions.Activations.values()) {
                    CudaOptions.Kv kv =
                            activations == CudaOptions.Activations.FP8 ? CudaOptions.Kv.FP8 : CudaOptions.Kv.BF16;
                    CudaOptions.Computing computing = new CudaOptions.Computing(false, false, false, activations, kv);
                    try (SmallStage stage = new SmallStage(device, modules, config, tokens, 256, computing)) {
                        SmallTimes times = new SmallTimes(stage, modules, other);
                        times.elementwise(activations == CudaOptions.Activations.FP8);
                        if (activations == CudaOptions.Activations.BF16 && tokens <= 256) {
                            times.sampling();
                        }
                    }
                }
            }
            device.free(other);
        }
    }

    private void elementwise(boolean eights) {
        ForwardPass pass = stage.pass;
        StepBucket bucket = stage.bucket;
        ShardShape shape = stage.shape;
        long tokens = bucket.tokens();
        int narrowed = eights ? 1 : 2;
        String kind = eights ? ", e4m3" : "";
        time(
                "rotateAndStore" + kind,
                tokens * shape.qkvSize() * 4
                        + tokens * 2 * (shape.attentionSize() + narrowed * shape.kvHeads() * shape.headSize()),
                () -> pass.rotate(bucket, stage.layer, 0));
        time(
                "rmsNorm" + kind,
                tokens * shape.hidden() * (4 + narrowed),
                () -> pass.norm(bucket, stage.layer.attentionNorm(), stage.layer.qkv()));
        time(
                (eights ? "swigluEights" : "swiglu"),
                tokens * shape.intermediate() * (4 + narrowed),
                () -> pass.activate(bucket, stage.next(shape.intermediate())));
        if (eights) {
            for (int columns : new int[] {shape.attentionSize(), shape.intermediate()}) {
                time(
                        "narrow " + columns,
                        tokens * columns * 3,
                        () -> pass.narrow(stage.next(columns), stage.memory.activated(), bucket));
            }
        } else {
            time("beginStep", 4L * StepDescriptor.fixedWords(bucket.tokens(), bucket.rows()), stage::begin);
        }
    }

    private void sampling() {
        int vocabulary = stage.shape.config().vocabularySize();
        // Some rows, again and again.
        int different = 8;
        float[] logits = stage.randoms(different * vocabulary);
        for (int i = 0; i < logits.length; i++) {
            logits[i] *= 3;
        }
        int rows = stage.bucket.rows();
        for (int row = 0; row < rows; row += different) {
            stage.put(stage.memory.logits() + 4L * row * vocabulary, logits);
        }
        SamplingParameters greedy = SamplingParameters.greedy();
        sampling("sample, greedy", greedy, rows);
        sampling("sample, greedy", greedy, 1);
        sampling("sample, temperature 1", parameters(1, 1, 0), rows);
        sampling("sample, top p 0.9", parameters(0.7f, 0.9f, 0), rows);
        sampling("sample, top p 0.9, top k 50", parameters(0.7f, 0.9f, 50), rows);
    }

    private static SamplingParameters parameters(float temperature, float topP, int topK) {
        return new SamplingParameters(temperature, topP, topK, 0, 1, 0, 0, Map.of(), 7);
    }

    private void sampling(String name, SamplingParameters parameters, int rows) {
        stage.admit(parameters);
        time(
                "%s, %d rows".formatted(name, rows),
                4L * rows * stage.shape.config().vocabularySize(),
                () -> stage.pass.sample(stage.bucket, rows));
    }

    private void time(String name, long bytes, Runnable launch) {
        double warm = micros(launch);
        Runnable read = () -> device.launch(
                readAll,
                Grid.of(8 * device.multiprocessors(), 256),
                other.address(),
                ELSE / 16,
                other.address() + ELSE);
        double both = micros(() -> {
            read.run();
            launch.run();
        });
        double cold = both - micros(read);
        System.out.printf(
                "     %5d tokens, %-34s warm %7.1f us %6.2f TB/s, cold %7.1f us %6.2f TB/s%n",
                stage.bucket.tokens(), name, warm, bytes / warm / 1e6, cold, bytes / cold / 1e6);
    }

    /// The median of some rounds.
    private double micros(Runnable launches) {
        launches.run();
        CUgraphExec graph = device.capture(() -> {
            for (int i = 0; i < LAUNCHES; i++) {
                launches.run();
            }
        });
        CUevent from = device.event();
        CUevent to = device.event();
        double[] rounds = new double[ROUNDS];
        for (int round = -1; round < ROUNDS; round++) {
            device.record(from);
            device.launch(graph);
            device.record(to);
            device.synchronize();
            if (round >= 0) {
                rounds[round] = 1e3 * device.millisBetween(from, to) / LAUNCHES;
            }
        }
        device.destroy(from);
        device.destroy(to);
        device.destroy(graph);
        Arrays.sort(rounds);
        return rounds[ROUNDS / 2];
    }
}
