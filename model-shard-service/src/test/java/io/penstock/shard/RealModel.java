package io.penstock.shard;

import java.nio.file.Files;
import java.nio.file.Path;

/// The real model that tests run on.
public final class RealModel {
    private static final String NAME = "models/smollm2-135m-instruct/smollm2-135m-instruct.gguf";

    private RealModel() {}

    public static Path path() {
        String cache = System.getenv("PENSTOCK_CACHE");
        Path folder = cache == null || cache.isEmpty()
                ? Path.of(System.getProperty("user.home"), ".cache", "penstock")
                : Path.of(cache);
        Path path = folder.resolve(NAME);
        if (!Files.isRegularFile(path)) {
            throw new AssertionError(path + " is not there; run tools/fetch.sh model");
        }
        return path;
    }
}
