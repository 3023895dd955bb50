package io.penstock.model.checkpoint;

import java.nio.file.Files;
import java.nio.file.Path;

/// The real model that tests use, which the test command fetches before it runs them.
public final class RealModel {
    private RealModel() {}

    /// SmolLM2-135M-Instruct, Q4_1 with a Q8_0 embedding.
    public static Path gguf() {
        String cache = System.getenv("PENSTOCK_CACHE");
        Path folder = cache == null ? Path.of(System.getProperty("user.home"), ".cache", "penstock") : Path.of(cache);
        Path file = folder.resolve("models/smollm2-135m-instruct/smollm2-135m-instruct.gguf");
        if (!Files.isRegularFile(file)) {
            throw new AssertionError(file + " is missing; run: tools/fetch.sh model");
        }
        return file;
    }
}
