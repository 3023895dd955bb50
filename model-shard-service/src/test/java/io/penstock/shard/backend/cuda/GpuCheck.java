package io.penstock.shard.backend.cuda;

import com.google.errorprone.annotations.FormatMethod;
import com.google.errorprone.annotations.FormatString;
import io.penstock.model.checkpoint.Checkpoint;
import io.penstock.model.checkpoint.Checkpoints;
import io.penstock.model.config.ModelConfig;
import io.penstock.model.config.RopeScaling;
import io.penstock.model.sampling.SamplingParameters;
import io.penstock.model.tensor.RankSlice;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.cuda.SequenceDriver.Sequence;
import io.penstock.shard.collective.Collective;
import io.penstock.shard.collective.LocalCollective;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/// Checks and timings that need a GPU; `bench/gpu/run.sh` runs them. Each prints one line a
/// finding, `FAIL` in those that must not be.
public final class GpuCheck {
    private static final int ALL = Integer.MAX_VALUE;
    private static final int[][] SETTINGS = {{4_096, 1}, {4_096, 2}, {64, ALL}, {300, ALL}, {2_048, ALL}};
    /// Where each new epoch costs seconds.
    static final int[][] FEW_SETTINGS = {{300, ALL}, {2_048, 6}};

    /// What keys and values are checked as.
    static final CudaOptions.Kv KV = CudaOptions.Kv.valueOf(System.getProperty("penstock.check.kv", "BF16"));

    private static int failures;

    private GpuCheck() {}

    public static void main(String[] arguments) throws IOException {
        switch (arguments[0]) {
            case "kernels" -> KernelCheck.run();
            case "products" ->
                KernelCheck.products(
                        Stream.of(arguments).skip(1).mapToInt(Integer::parseInt).toArray());
            case "gated" -> KernelCheck.gated();
            case "contexts" -> ContextCheck.run();
            case "small" -> SmallTimes.run();
            case "prompts" -> PromptCheck.run();
            case "decode" -> DecodeCheck.run(WeightFormat.valueOf(arguments[1]));
            case "model" -> {
                try (CudaBackend backend = load(Path.of(arguments[1]))) {
                    if (arguments.length > 3) {
                        report(
                                backend.layerFormats().equals(Set.of(WeightFormat.valueOf(arguments[3]))),
                                "%s: layers are kept as %s, expected %s",
                                arguments[1],
                                backend.layerFormats(),
                                arguments[3]);
                    }
                    model(backend, Path.of(arguments[1]), Path.of(arguments[2]), LocalCollective::new, SETTINGS);
                }
            }
            case "deterministic" -> DeterminismCheck.run();
            case "kv-blocks" -> kvBlocks();
            case "greedy" -> greedy(Path.of(arguments[1]), Path.of(arguments[2]));
            case "bench" -> GpuBench.run(List.of(arguments).subList(1, arguments.length));
            case "profile" -> GpuBench.profile(Integer.parseInt(arguments[1]), Integer.parseInt(arguments[2]));
            case "times" -> GpuBench.times(Integer.parseInt(arguments[1]), Integer.parseInt(arguments[2]));
            case "mix" -> GpuBench.mix(Path.of(arguments[1]));
            case "table" ->
                TableBench.run(Path.of(arguments[1]), List.of(arguments).subList(2, arguments.length));
            case "start" -> TableBench.start(Path.of(arguments[1]), arguments[2]);
            default -> throw new IllegalArgumentException(arguments[0]);
        }
        if (failures > 0) {
            System.out.println("FAIL: " + failures + " findings");
            System.exit(1);
        }
    }

    /// Findings so far that must not be.
    static int failures() {
        return failures;
    }

    @FormatMethod
    static void report(boolean good, @FormatString String format, Object... values) {
        failures += good ? 0 : 1;
        System.out.println((good ? "ok   " : "FAIL ") + String.format(Locale.ROOT, format, values));
        System.out.flush();
    }

    private static CudaBackend load(Path path) throws IOException {
        CudaOptions.Activations activations =
                CudaOptions.Activations.valueOf(System.getProperty("penstock.check.activations", "BF16"));
        CudaOptions defaults = CudaOptions.defaults();
        return load(
                path,
                new CudaOptions(
                        defaults.ordinal(),
                        defaults.memoryShare(),
                        CudaOptions.Computing.of(false, activations, KV),
                        defaults.meeting(),
                        defaults.formats()),
                SequenceDriver::whole);
    }

    static CudaBackend load(Path path, CudaOptions options, Function<ModelConfig, RankSlice> slice) throws IOException {
        Checkpoint checkpoint = Checkpoints.open(path);
        CudaBackend backend = new CudaBackend(options);
        Map<String, Path> files = new HashMap<>();
        if (Files.isDirectory(path)) {
            try (Stream<Path> entries = Files.list(path)) {
                entries.forEach(entry -> files.put(entry.getFileName().toString(), entry));
            }
        } else {
            files.put(path.getFileName().toString(), path);
        }
        backend.load(checkpoint, slice.apply(checkpoint.config()), files, _ -> {});
        System.out.printf("     %s: %s%n", path.getFileName(), backend.modules().origins());
        return backend;
    }

    /// One prompt with the logits that transformers gives at its end and after each of the tokens
    /// forced behind it.
    private record Reference(int[] prompt, int[] forced, float[][] full, float[][] half) {}

    private static List<Reference> references(Path file) throws IOException {
        ByteBuffer in = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
        List<Reference> all = new ArrayList<>();
        while (in.hasRemaining()) {
            int length = in.getInt();
            int steps = in.getInt();
            int vocabulary = in.getInt();
            all.add(new Reference(
                    ints(in, length),
                    ints(in, steps),
                    rows(in, steps + 1, vocabulary),
                    rows(in, steps + 1, vocabulary)));
        }
        return all;
    }

    private static int[] ints(ByteBuffer in, int count) {
        int[] values = new int[count];
        for (int i = 0; i < count; i++) {
            values[i] = in.getInt();
        }
        return values;
    }

    private static float[][] rows(ByteBuffer in, int count, int columns) {
        float[][] rows = new float[count][columns];
        for (float[] row : rows) {
            for (int i = 0; i < columns; i++) {
                row[i] = in.getFloat();
            }
        }
        return rows;
    }

    static double error(float[] value, float[] reference) {
        double difference = 0;
        double size = 0;
        for (int i = 0; i < value.length; i++) {
            difference += Math.pow(value[i] - reference[i], 2);
            size += Math.pow(reference[i], 2);
        }
        return Math.sqrt(difference / size);
    }

    /// Every case alone, then all together with prompts in chunks: logits as near to f32 as
    /// transformers' own bf16.
    ///
    /// @param epochs the wires of each new epoch; they stay open
    /// @param settings tokens a step and cases at once
    static void model(
            CudaBackend backend, Path folder, Path referenceFile, Supplier<Collective> epochs, int[][] settings)
            throws IOException {
        List<Reference> references = references(referenceFile);
        double theirs = 0;
        for (Reference reference : references) {
            for (int i = 0; i < reference.full().length; i++) {
                theirs = Math.max(theirs, error(reference.half()[i], reference.full()[i]));
            }
        }
        int longest = references.stream()
                .mapToInt(r -> r.prompt().length + r.forced().length)
                .max()
                .orElseThrow();
        for (int[] each : settings) {
            int[] setting = {each[0], Math.min(each[1], references.size())};
            boolean reports = true;
            double ours = 0;
            double atPrompts = 0;
            int worst = 0;
            StepLimits limits = new StepLimits(16, references.size(), setting[0], longest + 1);
            for (int from = 0; from < references.size(); from += setting[1]) {
                Collective collective = epochs.get();
                SequenceDriver driver = new SequenceDriver(backend, limits, collective);
                List<Sequence> sequences = new ArrayList<>();
                for (Reference reference : references.subList(from, Math.min(from + setting[1], references.size()))) {
                    Sequence sequence =
                            new Sequence(reference.prompt(), reference.forced(), reference.forced().length + 1);
                    driver.admit(sequences.size(), sequence, SamplingParameters.greedy(), -1);
                    sequences.add(sequence);
                }
                driver.run(sequences, true, 1);
                reports = collective.tpRank() == 0 && collective.ppStage() == collective.ppSize() - 1;
                for (int s = 0; reports && s < sequences.size(); s++) {
                    Reference reference = references.get(from + s);
                    for (int i = 0; i < reference.full().length; i++) {
                        double e =
                                error(sequences.get(s).logits.get(i), reference.full()[i]);
                        atPrompts = i == 0 ? Math.max(atPrompts, e) : atPrompts;
                        // Not a number is never good.
                        if (!(e <= ours)) {
                            ours = e;
                            worst = reference.prompt().length + i;
                        }
                    }
                }
            }
            if (!reports) {
                continue;
            }
            // Rounded keys and values can be seen in the logits.
            report(
                    ours <= 1.5 * theirs && (KV == CudaOptions.Kv.BF16 || ours >= 0.3 * theirs),
                    "%s, %d tokens a step, %d at once: error %.2e (worst at length %d; %.2e at prompts' ends), theirs %.2e",
                    folder.getFileName(),
                    setting[0],
                    setting[1],
                    ours,
                    worst,
                    atPrompts,
                    theirs);
        }
    }

    /// Room for keys and values in half of the bytes is room for twice as many.
    private static void kvBlocks() {
        ModelConfig config = qwen7b(2);
        List<Integer> blocks = new ArrayList<>();
        for (CudaOptions.Kv kv : CudaOptions.Kv.values()) {
            CudaOptions options = new CudaOptions(
                    0,
                    0.05,
                    CudaOptions.Computing.of(false, CudaOptions.Activations.BF16, kv),
                    CudaOptions.Meeting.AUTO,
                    Optional.empty());
            try (CudaBackend backend = new CudaBackend(options)) {
                backend.loadRandom(ShardShape.of(config, SequenceDriver.whole(config)));
                blocks.add(backend.configure(new StepLimits(16, 256, 512, 32_768), new LocalCollective()));
            }
        }
        double ratio = blocks.get(1) / (double) blocks.get(0);
        report(ratio > 1.95 && ratio < 2.05, "blocks of keys and values, bf16 and FP8: %s, %.3f", blocks, ratio);
    }

    private static final Pattern FIELD = Pattern.compile("\"(prompt_ids|greedy_ids|margins)\": \\[([^\\]]*)\\]");

    /// Greedy tokens against the yardstick of the file's lines, up to the first place whose margin
    /// is small.
    private static void greedy(Path checkpoint, Path yardstick) throws IOException {
        try (CudaBackend backend = load(checkpoint)) {
            List<Sequence> sequences = new ArrayList<>();
            List<double[]> margins = new ArrayList<>();
            List<int[]> expected = new ArrayList<>();
            for (String line : Files.readAllLines(yardstick)) {
                Map<String, String[]> fields = new HashMap<>();
                Matcher matcher = FIELD.matcher(line);
                while (matcher.find()) {
                    fields.put(matcher.group(1), matcher.group(2).split(", "));
                }
                int[] ids = Stream.of(fields.get("greedy_ids"))
                        .mapToInt(Integer::parseInt)
                        .toArray();
                expected.add(ids);
                margins.add(Stream.of(fields.get("margins"))
                        .mapToDouble(Double::parseDouble)
                        .toArray());
                sequences.add(new Sequence(
                        Stream.of(fields.get("prompt_ids"))
                                .mapToInt(Integer::parseInt)
                                .toArray(),
                        null,
                        ids.length));
            }
            SequenceDriver driver = new SequenceDriver(backend, new StepLimits(16, sequences.size(), 512, 2_048));
            for (int i = 0; i < sequences.size(); i++) {
                driver.admit(i, sequences.get(i), SamplingParameters.greedy(), -1);
            }
            driver.run(sequences, false, 2);
            int same = 0;
            int all = 0;
            for (int i = 0; i < sequences.size(); i++) {
                int at = 0;
                while (at < expected.get(i).length && sequences.get(i).generated.get(at) == expected.get(i)[at]) {
                    at++;
                }
                same += at;
                all += expected.get(i).length;
                if (at < expected.get(i).length) {
                    report(
                            margins.get(i)[at] < 0.3,
                            "prompt %d: %d of %d tokens as in f32; there the margin is %.4f",
                            i,
                            at,
                            expected.get(i).length,
                            margins.get(i)[at]);
                }
            }
            report(same > 0, "greedy: %d of %d tokens as the f32 yardstick's", same, all);
        }
    }

    static ModelConfig qwen7b() {
        return qwen7b(28);
    }

    /// The same with fewer layers.
    static ModelConfig qwen7b(int layers) {
        return new ModelConfig(
                ModelConfig.Architecture.QWEN2,
                layers,
                3_584,
                18_944,
                28,
                4,
                128,
                152_064,
                32_768,
                1e-6,
                1e6,
                ModelConfig.RopeLayout.HALVES,
                new RopeScaling.None(),
                true,
                false);
    }
}
