package io.penstock.shard.grpc;

import io.penstock.api.shard.Hello;
import io.penstock.api.shard.ModelShape;
import io.penstock.api.shard.ShardReport;
import io.penstock.model.config.ModelConfig;
import io.penstock.model.tensor.RankSlice;
import io.penstock.shard.step.RankPlace;
import java.util.Locale;

/// What a rank says of itself, first thing on every stream.
///
/// @param instance random per process
/// @param peerPort 0 in a group of one
public record Introduction(
        RankPlace place,
        String revision,
        String instance,
        String peerHost,
        int peerPort,
        String device,
        ModelConfig config) {
    private static final int PROTOCOL = 1;

    /// @param seenEpoch of the last Configure obeyed, or 0
    /// @param loaded slice on the device, or null
    ShardReport hello(long seenEpoch, RankSlice loaded) {
        Hello.Builder hello = Hello.newBuilder()
                .setProtocol(PROTOCOL)
                .setModel(place.model())
                .setRevision(revision)
                .setGroup(place.group())
                .setTpRank(place.tpRank())
                .setTpSize(place.tpSize())
                .setPpStage(place.ppStage())
                .setPpSize(place.ppSize())
                .setInstance(instance)
                .setPeerHost(peerHost)
                .setPeerPort(peerPort)
                .setDevice(device)
                .setShape(ModelShape.newBuilder()
                        .setArchitecture(config.architecture().name().toLowerCase(Locale.ROOT))
                        .setLayers(config.layers())
                        .setContextLength(config.contextLength())
                        .setVocabularySize(config.vocabularySize())
                        .setKvBytesPerToken((long) Float.BYTES * config.layers() * config.cachedSize()))
                .setMaxSequences(place.maxSequences())
                .setMaxStepTokens(place.maxStepTokens());
        if (loaded != null) {
            hello.setLoadedFirstLayer(loaded.layers().from())
                    .setLoadedLayerCount(loaded.layers().count());
        }
        return ShardReport.newBuilder().setEpoch(seenEpoch).setHello(hello).build();
    }
}
