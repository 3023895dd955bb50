package io.penstock.shard.step;

import io.penstock.api.shard.Configure;
import io.penstock.api.shard.Peer;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.config.ModelConfig;
import io.penstock.model.tensor.RankSlice;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.collective.tcp.Membership;
import io.penstock.shard.collective.tcp.PeerAddress;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/// How a Configure becomes what this rank does with it, each field checked.
final class ConfigureMessages {
    private ConfigureMessages() {}

    /// @throws PenstockException (bad input) naming the field
    static StepLimits limits(Configure configure, ModelConfig config, RankPlace place) {
        AdmissionMessages.within("block_size", configure.getBlockSize(), 1, 4_096);
        AdmissionMessages.within("max_sequences", configure.getMaxSequences(), 1, place.maxSequences());
        AdmissionMessages.within("max_step_tokens", configure.getMaxStepTokens(), 1, place.maxStepTokens());
        AdmissionMessages.within(
                "collective_timeout_millis", configure.getCollectiveTimeoutMillis(), 1, Integer.MAX_VALUE);
        return new StepLimits(
                configure.getBlockSize(),
                configure.getMaxSequences(),
                configure.getMaxStepTokens(),
                config.contextLength());
    }

    /// The configured layers, and of them what falls to this rank.
    ///
    /// @throws PenstockException (bad input) naming the field
    static RankSlice slice(Configure configure, ModelConfig config, RankPlace place) {
        int first = configure.getFirstLayer();
        int count = configure.getLayerCount();
        AdmissionMessages.within("first_layer", first, 0, config.layers() - 1);
        AdmissionMessages.within("layer_count", count, 1, config.layers() - first);
        return RankSlice.of(config, place.tpRank(), place.tpSize(), place.ppStage(), place.ppSize())
                .withLayers(new RankSlice.Range(first, first + count));
    }

    /// @param instance this process, as it has introduced itself
    /// @throws PenstockException (corrupt) if the peers name another in this rank's place
    static Membership membership(Configure configure, long epoch, RankPlace place, String instance) {
        List<PeerAddress> peers = new ArrayList<>();
        PeerAddress self = null;
        for (Peer peer : configure.getPeersList()) {
            PeerAddress address = new PeerAddress(
                    peer.getTpRank(), peer.getPpStage(), peer.getHost(), peer.getPort(), peer.getInstance());
            peers.add(address);
            if (peer.getTpRank() == place.tpRank() && peer.getPpStage() == place.ppStage()) {
                self = address;
            }
        }
        if (self == null || !self.instance().equals(instance)) {
            throw new PenstockException(
                    ErrorCategory.CORRUPT,
                    "epoch %d names %s as this rank, which is instance %s",
                    epoch,
                    self,
                    instance);
        }
        return new Membership(
                epoch,
                place.tpSize(),
                place.ppSize(),
                self,
                peers,
                Duration.ofMillis(configure.getCollectiveTimeoutMillis()));
    }
}
