package io.penstock.model.tokenizer;

import io.penstock.model.checkpoint.Checkpoints;
import io.penstock.model.checkpoint.GgufCheckpoint;
import io.penstock.model.checkpoint.LocalFiles;
import io.penstock.model.checkpoint.RealModel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/// The real tokenizers that tests use, each read once.
public final class RealTokenizers {
    public static final List<String> NAMES =
            List.of("qwen2_5", "qwen3", "deepseek_v3", "llama3_1", "llama2", "smollm2");

    /// Those whose files have a chat template.
    public static final List<String> WITH_TEMPLATE =
            NAMES.stream().filter(name -> !name.equals("llama2")).toList();

    private static final Map<String, Tokenizer> READ = new ConcurrentHashMap<>();

    private RealTokenizers() {}

    public static Tokenizer get(String name) {
        return READ.computeIfAbsent(name, RealTokenizers::read);
    }

    private static Tokenizer read(String name) {
        if (name.equals("smollm2")) {
            return GgufVocabulary.of(smollm2().metadata()).tokenizer(RealModel.gguf());
        }
        try (LocalFiles files = LocalFiles.at(folder(name))) {
            return TokenizerJson.read(files, TokenizerConfig.read(files));
        }
    }

    public static GgufCheckpoint smollm2() {
        return (GgufCheckpoint) Checkpoints.open(RealModel.gguf());
    }

    /// Settings of all but SmolLM2, whose file is a GGUF.
    public static TokenizerConfig config(String name) {
        try (LocalFiles files = LocalFiles.at(folder(name))) {
            return TokenizerConfig.read(files);
        }
    }

    public static Path folder(String name) {
        String cache = System.getenv("PENSTOCK_CACHE");
        Path root = cache == null ? Path.of(System.getProperty("user.home"), ".cache", "penstock") : Path.of(cache);
        Path folder = root.resolve("tokenizers").resolve(name);
        if (!Files.isRegularFile(folder.resolve(TokenizerJson.NAME))) {
            throw new AssertionError(folder + " is missing; run: tools/fetch.sh tokenizers");
        }
        return folder;
    }
}
