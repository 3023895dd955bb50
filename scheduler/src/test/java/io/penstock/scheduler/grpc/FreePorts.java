package io.penstock.scheduler.grpc;

import io.quarkus.test.common.QuarkusTestResourceLifecycleManager;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.ServerSocket;
import java.util.Map;

/// Gives the service under test ports that nobody has.
public final class FreePorts implements QuarkusTestResourceLifecycleManager {
    static int grpcPort;

    @Override
    public Map<String, String> start() {
        try (ServerSocket free = new ServerSocket(0)) {
            grpcPort = free.getLocalPort();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return Map.of(
                "quarkus.http.test-port", "0",
                "quarkus.grpc.server.test-port", Integer.toString(grpcPort),
                "quarkus.otel.sdk.disabled", "true",
                "quarkus.shutdown.timeout", "1s",
                "penstock.scheduler.discovery-grace", "0s",
                "penstock.scheduler.stream-buffer-tokens", "64");
    }

    @Override
    public void stop() {}
}
