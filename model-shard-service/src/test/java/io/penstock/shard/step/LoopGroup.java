package io.penstock.shard.step;

import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.api.shard.Configure;
import io.penstock.api.shard.Peer;
import io.penstock.api.shard.Sampled;
import io.penstock.api.shard.ShardReport;
import io.penstock.api.shard.Step;
import io.penstock.model.config.ModelConfig;
import io.penstock.shard.backend.Backend;
import io.penstock.shard.weights.Weights;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;

/// All ranks of a group, in one process, over real sockets.
final class LoopGroup implements AutoCloseable {
    private static final int HASH_BLOCKS = 64;

    final List<LoopRank> ranks = new ArrayList<>();
    final int tpSize;
    final int ppSize;
    private final Weights weights;
    private final Supplier<Backend> backends;

    /// A group of hashes.
    LoopGroup(int tpSize, int ppSize, Weights weights) {
        this(tpSize, ppSize, weights, () -> new HashBackend(HASH_BLOCKS));
    }

    LoopGroup(int tpSize, int ppSize, Weights weights, Supplier<Backend> backends) {
        this.tpSize = tpSize;
        this.ppSize = ppSize;
        this.weights = weights;
        this.backends = backends;
        for (int index = 0; index < tpSize * ppSize; index++) {
            ranks.add(newRank(index));
        }
    }

    private LoopRank newRank(int index) {
        return new LoopRank(
                new RankPlace("g", "m", index % tpSize, tpSize, index / tpSize, ppSize, 16, 64),
                weights,
                backends.get());
    }

    /// The rank that samples.
    LoopRank sampler() {
        return ranks.get((ppSize - 1) * tpSize);
    }

    void restart(int index) {
        ranks.get(index).close();
        ranks.set(index, newRank(index));
    }

    Configure.Builder configuration(LoopRank rank) {
        ModelConfig config = weights.checkpoint().config();
        int from = config.layers() * rank.place.ppStage() / ppSize;
        int to = config.layers() * (rank.place.ppStage() + 1) / ppSize;
        Configure.Builder configure = Configure.newBuilder()
                .setFirstLayer(from)
                .setLayerCount(to - from)
                .setBlockSize(4)
                .setMaxSequences(8)
                .setMaxStepTokens(32)
                .setCollectiveTimeoutMillis(10_000);
        for (LoopRank peer : ranks) {
            configure.addPeers(Peer.newBuilder()
                    .setTpRank(peer.place.tpRank())
                    .setPpStage(peer.place.ppStage())
                    .setHost("127.0.0.1")
                    .setPort(peer.listener.port())
                    .setInstance(peer.listener.instance()));
        }
        return configure;
    }

    /// Begins an epoch, and waits until all serve.
    void form(long epoch) {
        ranks.forEach(rank -> rank.configure(epoch, configuration(rank).build()));
        for (LoopRank rank : ranks) {
            ShardReport report = rank.report();
            assertThat(report.hasReady()).as("%s", report).isTrue();
            assertThat(report.getReady().getKvBlocks()).isGreaterThanOrEqualTo(HASH_BLOCKS);
            assertThat(report.getEpoch()).isEqualTo(epoch);
        }
    }

    void send(long epoch, Step.Builder step) {
        ranks.forEach(rank -> rank.step(epoch, step));
    }

    /// Waits for all reports of a step.
    ///
    /// @return what was sampled
    List<Sampled> collect(long epoch, long number) {
        List<Sampled> sampled = List.of();
        for (LoopRank rank : ranks) {
            ShardReport report = rank.report();
            assertThat(report.hasStepDone()).as("%s: %s", rank.place, report).isTrue();
            assertThat(report.getEpoch()).isEqualTo(epoch);
            assertThat(report.getStepDone().getNumber()).isEqualTo(number);
            if (rank.equals(sampler())) {
                sampled = report.getStepDone().getSampledList();
            } else {
                assertThat(report.getStepDone().getSampledCount()).isZero();
            }
        }
        return sampled;
    }

    @Override
    public void close() {
        ranks.forEach(LoopRank::close);
    }
}
