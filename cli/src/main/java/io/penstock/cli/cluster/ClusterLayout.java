package io.penstock.cli.cluster;

import io.penstock.cli.CommandFailure;
import java.nio.file.Path;
import java.util.OptionalInt;

/// What a local cluster is made of.
///
/// @param home the repository, whose services are built
/// @param work logs, cache and bucket; made by the cluster, removed with it
/// @param model name that clients ask for
/// @param checkpoint a GGUF file or a Hugging Face folder to put into the bucket; null for a `remote`
///     source
/// @param remote a source that the weight-loader fetches itself; null for a local checkpoint
/// @param tensorParallel ranks a stage, at least 1
/// @param pipelineParallel stages, at least 1
/// @param ranks what each of them computes on
/// @param gatewayPort the gateway's, where a person fixed it
public record ClusterLayout(
        Path home,
        Path work,
        String model,
        Path checkpoint,
        RemoteModel remote,
        int tensorParallel,
        int pipelineParallel,
        RankSettings ranks,
        OptionalInt gatewayPort) {
    public static final int MAX_RANKS = 64;

    public ClusterLayout {
        if (tensorParallel < 1 || pipelineParallel < 1 || (long) tensorParallel * pipelineParallel > MAX_RANKS) {
            throw new CommandFailure(
                    "tensor-parallel %d x pipeline %d: each must be at least 1, their product at most %d",
                    tensorParallel, pipelineParallel, MAX_RANKS);
        }
        if ((checkpoint == null) == (remote == null)) {
            throw new IllegalArgumentException("either a local checkpoint or a remote source");
        }
    }

    int rankCount() {
        return tensorParallel * pipelineParallel;
    }
}
