package io.penstock.shard.weights;

import io.penstock.model.checkpoint.Checkpoint;
import io.penstock.model.checkpoint.Checkpoints;
import io.penstock.model.checkpoint.LocalFiles;
import io.penstock.model.tensor.RankSlice;
import java.nio.file.Path;
import java.util.Map;

/// A checkpoint that lies on this machine, whole.
public final class LocalWeights implements Weights {
    private final Checkpoint checkpoint;
    private final Map<String, Path> files;
    private final String revision;

    private LocalWeights(Checkpoint checkpoint, Map<String, Path> files, String revision) {
        this.checkpoint = checkpoint;
        this.files = files;
        this.revision = revision;
    }

    /// @param path a GGUF file, or a folder
    /// @param revision what to call it; ranks of a group must agree
    /// @throws io.penstock.model.PenstockException if it is not there or must not be loaded
    public static LocalWeights open(Path path, String revision) {
        try (LocalFiles files = LocalFiles.at(path)) {
            return new LocalWeights(Checkpoints.open(files), files.paths(), revision);
        }
    }

    @Override
    public Checkpoint checkpoint() {
        return checkpoint;
    }

    @Override
    public String revision() {
        return revision;
    }

    @Override
    public Map<String, Path> ensure(RankSlice slice, Progress progress) {
        progress.present(1, 1);
        return files;
    }
}
