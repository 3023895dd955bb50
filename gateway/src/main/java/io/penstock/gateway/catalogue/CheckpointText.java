package io.penstock.gateway.catalogue;

import io.grpc.ChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.netty.NettyChannelBuilder;
import io.penstock.api.MutualTls;
import io.penstock.gateway.config.GatewayConfig;
import io.penstock.gateway.config.HostPort;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.checkpoint.LocalFiles;
import io.penstock.model.template.ChatFormat;
import jakarta.enterprise.context.ApplicationScoped;
import jakarta.inject.Inject;
import java.nio.file.Path;
import java.util.Optional;

/// Reads tokenizer and template from the checkpoint itself: a local one, or the heads of its files from a
/// weight-loader.
@ApplicationScoped
public class CheckpointText implements TextSource {
    private final GatewayConfig config;
    private final ChannelCredentials credentials;

    @Inject
    public CheckpointText(GatewayConfig config) {
        this.config = config;
        credentials = MutualTls.dialling(config.tls());
    }

    @Override
    public ChatFormat read(String model, String revision) {
        Optional<Path> checkpoint = config.checkpoint();
        if (checkpoint.isPresent()) {
            try (LocalFiles files = LocalFiles.at(checkpoint.get())) {
                return ChatFormat.read(files);
            }
        }
        HostPort loader = config.loader()
                .orElseThrow(
                        () -> new PenstockException(
                                ErrorCategory.NOT_FOUND,
                                "neither penstock.gateway.loader nor penstock.gateway.checkpoint is set: where are tokenizers?"));
        ManagedChannel channel = NettyChannelBuilder.forAddress(loader.host(), loader.port(), credentials)
                .maxInboundMessageSize(LoaderFiles.LARGEST_CHUNK)
                .build();
        try {
            return ChatFormat.read(new LoaderFiles(channel, model, revision));
        } finally {
            channel.shutdownNow();
        }
    }
}
