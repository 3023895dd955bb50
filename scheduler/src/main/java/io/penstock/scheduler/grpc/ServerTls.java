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
import org.jboss.logging.Logger;

/// Takes calls only from who shows a certificate, where `penstock.scheduler.tls` says so. Not by
/// Quarkus' own settings: they do not read certificates again.
@Singleton
public class ServerTls implements ServerBuilderCustomizer<VertxServerBuilder> {
    private static final Logger LOG = Logger.getLogger(ServerTls.class);

    private final Optional<Path> folder;

    @Inject
    public ServerTls(SchedulerConfig config) {
        folder = config.tls();
    }

    @Override
    public void customize(GrpcServerConfiguration config, VertxServerBuilder builder) {
        folder.ifPresent(path -> {
            builder.nettyBuilder().sslContext(MutualTls.read(path).server());
            LOG.infof("gRPC takes callers by certificate only, as %s has them", path);
        });
    }
}
