package io.penstock.scheduler.grpc;

import io.penstock.api.MutualTls;
import io.penstock.scheduler.config.SchedulerConfig;
import io.quarkus.grpc.api.ServerBuilderCustomizer;
import io.quarkus.grpc.runtime.config.GrpcServerConfiguration;
import io.vertx.grpc.VertxServerBuilder;
import jakarta.inject.Inject;
import jakarta.inject.Singleton;
import java.nio.file.Path;
import java.util.Optional;

/// Takes calls only from who shows a certificate, where `penstock.scheduler.tls` says so. Not by
/// Quarkus' own settings: they do not read certificates again.
@Singleton
public class ServerTls implements ServerBuilderCustomizer<VertxServerBuilder> {
    private final Optional<Path> folder;

    @Inject
    public ServerTls(SchedulerConfig config) {
        folder = config.tls();
    }

    @Override
    public void customize(GrpcServerConfiguration config, VertxServerBuilder builder) {
        MutualTls.require(folder, builder.nettyBuilder());
    }
}
