package io.penstock.gateway.grpc;

import io.penstock.gateway.config.GatewayConfig;
import io.quarkus.arc.Unremovable;
import io.quarkus.grpc.api.ServerBuilderCustomizer;
import io.quarkus.grpc.runtime.config.GrpcServerConfiguration;
import io.vertx.grpc.VertxServerBuilder;
import jakarta.inject.Singleton;
import java.util.concurrent.TimeUnit;

/// What one connection may have at once, and how long it may have nothing. Calls that are begun and
/// cancelled at once never count as requests in hand, and cost their sender nothing (CVE-2023-44487):
/// a connection that does so is closed. More than clients of ours cancel, a proxy's included.
///
/// Who has sent no whole frame for a while is asked for a sign of life, which nobody can give in the
/// midst of a frame or a block of headers: so there is a deadline for these, too.
@Singleton
@Unremovable
public class ConnectionBounds implements ServerBuilderCustomizer<VertxServerBuilder> {
    private static final int CALLS = 1_000;
    private static final int RESETS = 2_000;
    private static final int RESETS_WITHIN_SECONDS = 10;

    /// As REST has it, `quarkus.http.idle-timeout`.
    private static final int IDLE_MINUTES = 10;

    private final long silenceNanos;

    ConnectionBounds(GatewayConfig config) {
        silenceNanos = config.headTimeout().toNanos();
    }

    @Override
    public void customize(GrpcServerConfiguration config, VertxServerBuilder builder) {
        builder.nettyBuilder()
                .maxConcurrentCallsPerConnection(CALLS)
                .maxRstFramesPerWindow(RESETS, RESETS_WITHIN_SECONDS)
                .keepAliveTime(silenceNanos, TimeUnit.NANOSECONDS)
                .keepAliveTimeout(silenceNanos, TimeUnit.NANOSECONDS)
                .maxConnectionIdle(IDLE_MINUTES, TimeUnit.MINUTES);
    }
}
