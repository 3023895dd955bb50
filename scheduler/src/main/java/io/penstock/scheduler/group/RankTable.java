package io.penstock.scheduler.group;

import io.penstock.api.shard.Configure;
import io.penstock.api.shard.Peer;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;

/// A place for each rank of a group, and which of them are taken. Owned by whoever has the group.
final class RankTable {
    private final GroupIdentity identity;
    /// Null: not attached.
    private final Rank[] ranks;

    RankTable(GroupIdentity identity) {
        this.identity = identity;
        ranks = new Rank[identity.ranks()];
    }

    GroupIdentity identity() {
        return identity;
    }

    /// @return who had the place before; null: nobody
    Rank put(Rank rank) {
        Rank before = ranks[rank.index];
        ranks[rank.index] = rank;
        return before;
    }

    /// @return null: nobody
    Rank at(int index) {
        return ranks[index];
    }

    boolean holds(Rank rank) {
        return rank.index < ranks.length && ranks[rank.index] == rank;
    }

    void remove(Rank rank) {
        ranks[rank.index] = null;
    }

    /// Those attached, by stage, then by tensor-parallel rank. A copy.
    List<Rank> present() {
        List<Rank> present = new ArrayList<>(ranks.length);
        for (Rank rank : ranks) {
            if (rank != null) {
                present.add(rank);
            }
        }
        return present;
    }

    int attached() {
        int attached = 0;
        for (Rank rank : ranks) {
            attached += rank == null ? 0 : 1;
        }
        return attached;
    }

    boolean complete() {
        return attached() == ranks.length;
    }

    /// Slots that every rank has room for.
    int maxSequences(GroupLimits limits) {
        int least = limits.maxSequences();
        for (Rank rank : ranks) {
            least = Math.min(least, rank.hello.getMaxSequences());
        }
        return least;
    }

    /// Tokens a step that every rank has room for.
    int maxStepTokens(GroupLimits limits) {
        int least = limits.maxStepTokens();
        for (Rank rank : ranks) {
            least = Math.min(least, rank.hello.getMaxStepTokens());
        }
        return least;
    }

    /// Parts the layers among the stages, so that ranks keep what they hold where that is possible.
    void assignLayers() {
        int stages = identity.ppSize();
        int[] first = new int[stages];
        int[] count = new int[stages];
        for (int stage = 0; stage < stages; stage++) {
            loadedBy(stage, first, count);
        }
        int[] starts = LayerRanges.partition(identity.shape().getLayers(), first, count);
        for (Rank rank : ranks) {
            int stage = rank.hello.getPpStage();
            rank.firstLayer = starts[stage];
            rank.layerCount = starts[stage + 1] - starts[stage];
        }
    }

    /// Sets what all ranks of a stage hold that hold anything; -1 where there is no such thing.
    private void loadedBy(int stage, int[] first, int[] count) {
        first[stage] = -1;
        for (Rank rank : ranks) {
            if (rank.hello.getPpStage() == stage && rank.layerCount > 0) {
                if (first[stage] >= 0 && (first[stage] != rank.firstLayer || count[stage] != rank.layerCount)) {
                    first[stage] = -1;
                    return;
                }
                first[stage] = rank.firstLayer;
                count[stage] = rank.layerCount;
            }
        }
    }

    /// For people: "0.0: 0 to 14, 0.1: 15 to 29".
    String layers() {
        return present().stream()
                .map(rank -> "%d.%d: %d to %d"
                        .formatted(
                                rank.hello.getTpRank(),
                                rank.hello.getPpStage(),
                                rank.firstLayer,
                                rank.firstLayer + rank.layerCount - 1))
                .collect(Collectors.joining(", "));
    }

    /// What all ranks are told alike.
    Configure.Builder configure(GroupLimits limits) {
        Configure.Builder configure = Configure.newBuilder()
                .setBlockSize(limits.blockSize())
                .setMaxSequences(maxSequences(limits))
                .setMaxStepTokens(maxStepTokens(limits))
                .setCollectiveTimeoutMillis((int) (limits.collectiveTimeout() / 1_000_000));
        for (Rank rank : ranks) {
            configure.addPeers(Peer.newBuilder()
                    .setTpRank(rank.hello.getTpRank())
                    .setPpStage(rank.hello.getPpStage())
                    .setHost(rank.hello.getPeerHost())
                    .setPort(rank.hello.getPeerPort())
                    .setInstance(rank.hello.getInstance()));
        }
        return configure;
    }

    long bytesLoaded() {
        return present().stream().mapToLong(rank -> rank.bytesLoaded).sum();
    }

    long bytesToLoad() {
        return present().stream().mapToLong(rank -> rank.bytesToLoad).sum();
    }
}
