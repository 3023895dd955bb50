package io.penstock.shard.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.model.checkpoint.Checkpoint;
import io.penstock.model.checkpoint.Checkpoints;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/// SmolLM2-135M-Instruct as the tests' set-up fetched it.
record RealModel(Checkpoint checkpoint, Map<String, Path> files) {
    static RealModel open() {
        String cache = System.getenv("PENSTOCK_CACHE");
        Path root = cache != null ? Path.of(cache) : Path.of(System.getProperty("user.home"), ".cache", "penstock");
        Path file = root.resolve("models/smollm2-135m-instruct/smollm2-135m-instruct.gguf");
        assertThat(Files.exists(file))
                .as("%s is missing: run tools/fetch.sh model first", file)
                .isTrue();
        return new RealModel(Checkpoints.open(file), Map.of(file.getFileName().toString(), file));
    }
}
