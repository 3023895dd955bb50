package io.penstock.shard.backend.cuda;

import io.penstock.model.config.ModelConfig;
import io.penstock.model.sampling.SamplingParameters;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.cuda.SequenceDriver.Sequence;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Random;

/// The same request alone and among 63 others whose prompts go on while it decodes: the same bits of
/// logits where that is asked for; how many differ where it is not, so that the check can be seen to
/// tell one from the other.
final class DeterminismCheck {
    private static final int OTHERS = 63;
    private static final int PLACE = 17;
    private static final int STEPS = 24;
    private static final int PROMPT = 700;

    private DeterminismCheck() {}

    static void run() {
        ModelConfig config = GpuCheck.qwen7b(2);
        for (WeightFormat format : new WeightFormat[] {WeightFormat.BF16, WeightFormat.FP8_ROWS, WeightFormat.INT4}) {
            for (boolean deterministic : new boolean[] {true, false}) {
                CudaOptions options = new CudaOptions(
                        0,
                        0.3,
                        CudaOptions.Computing.of(deterministic, CudaOptions.Activations.BF16, GpuCheck.KV),
                        CudaOptions.Meeting.AUTO,
                        Optional.of(new DeviceWeights.Formats(format, format)));
                try (CudaBackend backend = new CudaBackend(options)) {
                    backend.loadRandom(ShardShape.of(config, SequenceDriver.whole(config)));
                    List<float[]> alone = logits(backend, config, 0, 0);
                    List<float[]> among = logits(backend, config, PLACE, OTHERS);
                    int different = different(alone, among);
                    GpuCheck.report(
                            deterministic == (different == 0),
                            "%s, keys and values %s, %s: %d of %d logits differ between alone and among %d",
                            format,
                            GpuCheck.KV,
                            deterministic ? "deterministic" : "quickest",
                            different,
                            alone.size() * config.vocabularySize(),
                            OTHERS);
                }
            }
        }
    }

    private static int different(List<float[]> one, List<float[]> other) {
        int different = 0;
        for (int i = 0; i < one.size(); i++) {
            for (int j = 0; j < one.get(i).length; j++) {
                different += Float.floatToRawIntBits(one.get(i)[j]) == Float.floatToRawIntBits(other.get(i)[j]) ? 0 : 1;
            }
        }
        return different;
    }

    private static List<float[]> logits(CudaBackend backend, ModelConfig config, int place, int others) {
        SequenceDriver driver = new SequenceDriver(backend, new StepLimits(16, OTHERS + 1, 512, 4_096));
        Random random = new Random(5);
        Sequence watched = sequence(random, config, PROMPT);
        Random more = new Random(6);
        List<Sequence> sequences = new ArrayList<>();
        for (int i = 0; i <= others; i++) {
            sequences.add(i == place ? watched : sequence(more, config, 1 + more.nextInt(300)));
            driver.admit(i, sequences.get(i), SamplingParameters.greedy(), -1);
        }
        driver.run(sequences, true, 1);
        return watched.logits;
    }

    private static Sequence sequence(Random random, ModelConfig config, int length) {
        return new Sequence(
                random.ints(length, 0, config.vocabularySize()).toArray(),
                random.ints(STEPS, 0, config.vocabularySize()).toArray(),
                STEPS + 1);
    }
}
