package io.penstock.gateway.grpc;

import io.quarkus.arc.Unremovable;
import io.quarkus.grpc.api.ServerBuilderCustomizer;
import io.quarkus.grpc.runtime.config.GrpcServerConfiguration;
import io.vertx.grpc.VertxServerBuilder;
import jakarta.inject.Singleton;

/// What one connection may have at once. Calls that are begun and cancelled at once never count as
/// requests in hand, and cost their sender nothing (CVE-2023-44487): a connection that does so is
/// closed. More than clients of ours cancel, a proxy's included.
@Singleton
@Unremovable
public class ConnectionBounds implements ServerBuilderCustomizer<VertxServerBuilder> {
    private static final int CALLS = 1_000;
    private static final int RESETS = 2_000;
    private static final int RESETS_WITHIN_SECONDS = 10;

    @Override
    public void customize(GrpcServerConfiguration config, VertxServerBuilder builder) {
        builder.nettyBuilder()
                .maxConcurrentCallsPerConnection(CALLS)
                .maxRstFramesPerWindow(RESETS, RESETS_WITHIN_SECONDS);
    }
}
