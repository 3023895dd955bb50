package io.penstock.gateway.catalogue;

import io.grpc.ManagedChannel;
import io.grpc.netty.NettyChannelBuilder;
import io.penstock.gateway.config.GatewayConfig;
import io.penstock.gateway.config.HostPort;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.checkpoint.CheckpointFiles;
import io.penstock.model.checkpoint.Checkpoints;
import io.penstock.model.checkpoint.GgufCheckpoint;
import io.penstock.model.checkpoint.GgufMetadata;
import io.penstock.model.checkpoint.LocalFiles;
import io.penstock.model.tokenizer.GgufVocabulary;
import io.penstock.model.tokenizer.Tokenizer;
import io.penstock.model.tokenizer.TokenizerConfig;
import io.penstock.model.tokenizer.TokenizerJson;
import jakarta.enterprise.context.ApplicationScoped;
import jakarta.inject.Inject;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;

/// Reads tokenizer and template from the checkpoint itself: a local one, or the heads of its files from a
/// weight-loader.
@ApplicationScoped
public class CheckpointText implements TextSource {
    private final GatewayConfig config;

    @Inject
    public CheckpointText(GatewayConfig config) {
        this.config = config;
    }

    @Override
    public ModelText read(String model, String revision) {
        Optional<Path> checkpoint = config.checkpoint();
        if (checkpoint.isPresent()) {
            try (LocalFiles files = LocalFiles.at(checkpoint.get())) {
                return read(files);
            }
        }
        HostPort loader = config.loader()
                .orElseThrow(
                        () -> new PenstockException(
                                ErrorCategory.NOT_FOUND,
                                "neither penstock.gateway.loader nor penstock.gateway.checkpoint is set: where are tokenizers?"));
        ManagedChannel channel = NettyChannelBuilder.forAddress(loader.host(), loader.port())
                .usePlaintext()
                .maxInboundMessageSize(LoaderFiles.LARGEST_CHUNK)
                .build();
        try {
            return read(new LoaderFiles(channel, model, revision));
        } finally {
            channel.shutdownNow();
        }
    }

    private static ModelText read(CheckpointFiles files) {
        if (files.names().contains(TokenizerJson.NAME)) {
            TokenizerConfig tokenizer = TokenizerConfig.read(files);
            Map<String, String> specials = new HashMap<>();
            tokenizer.begin().ifPresent(text -> specials.put("bos_token", text));
            tokenizer.end().ifPresent(text -> specials.put("eos_token", text));
            return new ModelText(TokenizerJson.read(files, tokenizer), Optional.empty(), specials);
        }
        if (Checkpoints.open(files) instanceof GgufCheckpoint gguf) {
            GgufMetadata metadata = gguf.metadata();
            Tokenizer tokenizer = GgufVocabulary.of(metadata).tokenizer(Path.of("GGUF"));
            Map<String, String> specials = new HashMap<>();
            metadata.tokenId("bos").ifPresent(id -> specials.put("bos_token", tokenizer.piece((int) id)));
            metadata.tokenId("eos").ifPresent(id -> specials.put("eos_token", tokenizer.piece((int) id)));
            return new ModelText(tokenizer, Optional.empty(), specials);
        }
        throw new PenstockException(
                ErrorCategory.CORRUPT, "there is no %s beside the weights: %s", TokenizerJson.NAME, files.names());
    }
}
