package io.penstock.shard.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.penstock.model.checkpoint.Checkpoint;
import io.penstock.model.checkpoint.Checkpoints;
import io.penstock.model.checkpoint.LocalFiles;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.backend.StepOutput;
import java.io.IOException;
import java.net.URISyntaxException;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/// A tiny random model of one architecture, and what transformers makes of it: `tools/references/architectures.py`
/// wrote both.
///
/// @param cases one a prompt
record TinyReference(String name, Checkpoint checkpoint, Map<String, Path> files, List<Case> cases) {
    static final StepLimits LIMITS = new StepLimits(16, 4, 128, 384);
    private static final int TOP = 8;
    /// Of the spread of the logits.
    private static final double TOLERANCE = 1e-4;

    record Case(int[] prompt, List<Step> steps) {}

    /// @param spread greatest logit less the least
    /// @param ids the best, in order
    record Step(double spread, int[] ids, double[] logprobs) {}

    /// @param temporary a folder that the weights are made in
    static TinyReference read(String name, Path temporary) throws IOException {
        Path folder = resource("tiny/" + name + "/config.json").getParent();
        Path made = Files.createDirectories(temporary.resolve(name));
        Files.copy(folder.resolve("config.json"), made.resolve("config.json"));
        MadeWeights.write(folder.resolve("tensors.json"), made.resolve("model.safetensors"));
        return of(name, made, folder.resolve("reference.json"));
    }

    /// A file that the `gguf` package wrote, and what transformers makes of its weights:
    /// `gguf_models.py` made both.
    static TinyReference gguf(String name) throws IOException {
        return of(name, resource("gguf/" + name + ".gguf"), resource("gguf/" + name + ".json"));
    }

    private static TinyReference of(String name, Path model, Path reference) throws IOException {
        ObjectMapper json = new ObjectMapper();
        List<Case> cases = new ArrayList<>();
        for (JsonNode given : json.readTree(reference.toFile())) {
            List<Step> steps = new ArrayList<>();
            for (JsonNode step : given.path("steps")) {
                steps.add(new Step(
                        step.path("spread").doubleValue(),
                        json.treeToValue(step.path("ids"), int[].class),
                        json.treeToValue(step.path("logprobs"), double[].class)));
            }
            cases.add(new Case(json.treeToValue(given.path("prompt"), int[].class), steps));
        }
        try (LocalFiles files = LocalFiles.at(model)) {
            return new TinyReference(name, Checkpoints.open(files), Map.copyOf(files.paths()), cases);
        }
    }

    private static Path resource(String name) {
        URL found = TinyReference.class.getResource(name);
        assertThat(found).as(name).isNotNull();
        try {
            return Path.of(found.toURI());
        } catch (URISyntaxException e) {
            throw new AssertionError(e);
        }
    }

    static StepDriver driver(CpuBackend backend) {
        return new StepDriver(backend, LIMITS, TOP);
    }

    /// Runs the prompts, all at once and each in pieces, and holds every step's probabilities against the reference.
    ///
    /// @param driver of a rank
    /// @param samples whether this rank is the one that samples
    void check(StepDriver driver, boolean samples, String how) {
        int longest =
                cases.stream().mapToInt(each -> each.prompt().length).max().orElseThrow();
        for (int slot = 0; slot < cases.size(); slot++) {
            driver.admit(slot, cases.get(slot).prompt());
        }
        int[] given = new int[cases.size()];
        boolean[] parted = new boolean[cases.size()];
        int steps = cases.getFirst().steps().size();
        // Longer prompts take some steps more, in which the others go on; all stop together.
        for (int step = 0; step < steps + longest / 30 + 1; step++) {
            driver.begin();
            for (int slot = 0; slot < cases.size(); slot++) {
                driver.row(slot, 30);
            }
            StepOutput output = driver.run();
            assertThat(samples || output.count == 0)
                    .as("%s: only one rank samples", how)
                    .isTrue();
            for (int i = 0; i < output.count; i++) {
                int slot = output.slot[i];
                if (given[slot] < steps && !parted[slot]) {
                    parted[slot] = check(
                            cases.get(slot).steps().get(given[slot]),
                            output,
                            i,
                            "%s: %s: prompt of %d, token %d"
                                    .formatted(name, how, cases.get(slot).prompt().length, given[slot]));
                }
                given[slot]++;
            }
        }
        if (samples) {
            for (int count : given) {
                assertThat(count).isGreaterThanOrEqualTo(steps);
            }
        }
    }

    /// @return whether the two best were so close that the other one was taken
    private static boolean check(Step step, StepOutput output, int at, String what) {
        double tolerance = TOLERANCE * step.spread();
        int common = 0;
        for (int i = 0; i < step.ids().length; i++) {
            for (int j = 0; j < output.topCount[at]; j++) {
                if (output.topTokens[at][j] == step.ids()[i]) {
                    common++;
                    assertThat(Math.abs(output.topLogprobs[at][j] - step.logprobs()[i]))
                            .as("%s: log-probability of %d", what, step.ids()[i])
                            .isLessThanOrEqualTo(tolerance);
                }
            }
        }
        // The last one may have changed places with one that is not told.
        assertThat(common).as("%s: best tokens", what).isGreaterThanOrEqualTo(TOP - 1);
        if (output.token[at] == step.ids()[0]) {
            return false;
        }
        assertThat(step.logprobs()[0] - step.logprobs()[1])
                .as("%s: distance of the two best, where %d was taken", what, output.token[at])
                .isLessThanOrEqualTo(2 * tolerance);
        return true;
    }
}
