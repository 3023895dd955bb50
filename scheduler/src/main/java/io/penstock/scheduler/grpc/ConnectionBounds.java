package io.penstock.scheduler.grpc;

import io.quarkus.arc.Unremovable;
import io.quarkus.grpc.api.ServerBuilderCustomizer;
import io.quarkus.grpc.runtime.config.GrpcServerConfiguration;
import io.vertx.grpc.VertxServerBuilder;
import jakarta.inject.Singleton;

/// What one connection may have at once. A gateway has all its sequences on one, and may lose all
/// their readers at once; calls that are begun and cancelled without end (CVE-2023-44487) are a
/// defect or worse, and the connection is closed. So is one that stands still in the midst of a frame
/// or a block of headers: it cannot answer the pings that `application.properties` asks for.
@Singleton
@Unremovable
public class ConnectionBounds implements ServerBuilderCustomizer<VertxServerBuilder> {
    private static final int CALLS = 1 << 16;
    private static final int RESETS = 20_000;
    private static final int RESETS_WITHIN_SECONDS = 10;

    @Override
    public void customize(GrpcServerConfiguration config, VertxServerBuilder builder) {
        builder.nettyBuilder()
                .maxConcurrentCallsPerConnection(CALLS)
                .maxRstFramesPerWindow(RESETS, RESETS_WITHIN_SECONDS);
    }
}
