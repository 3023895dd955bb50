package io.penstock.shard.weights;

import io.penstock.model.checkpoint.Checkpoint;
import io.penstock.model.tensor.RankSlice;
import java.nio.file.Path;
import java.util.Map;

/// A checkpoint whose heads were read: what it is, and how to get the bytes a rank needs onto this node.
public interface Weights {
    Checkpoint checkpoint();

    /// Immutable name of these very bytes.
    String revision();

    /// Makes the bytes of a slice present. Blocks, for as long as a download takes.
    ///
    /// @return where each file of the checkpoint lies on this node, by its name in the checkpoint; the
    ///     ranges of the slice may be read, others perhaps not
    /// @throws io.penstock.model.PenstockException if they cannot be had
    Map<String, Path> ensure(RankSlice slice, Progress progress);

    /// Told now and then, by the thread that waits.
    @FunctionalInterface
    interface Progress {
        void present(long bytes, long total);
    }
}
