package io.penstock.gateway.openai;

import io.quarkus.vertx.http.HttpServerOptionsCustomizer;
import io.vertx.core.http.HttpServerOptions;
import jakarta.enterprise.context.ApplicationScoped;

/// Keeps the system from buffering megabytes for a reader that does not read: it would be found out too late.
@ApplicationScoped
public class ServerSockets implements HttpServerOptionsCustomizer {
    private static final int SEND_BUFFER = 64 << 10;

    @Override
    public void customizeHttpServer(HttpServerOptions options) {
        options.setSendBufferSize(SEND_BUFFER);
    }

    @Override
    public void customizeHttpsServer(HttpServerOptions options) {
        options.setSendBufferSize(SEND_BUFFER);
    }
}
