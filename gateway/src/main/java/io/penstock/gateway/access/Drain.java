package io.penstock.gateway.access;

import io.quarkus.runtime.ShutdownEvent;
import io.quarkus.runtime.StartupEvent;
import jakarta.annotation.Priority;
import jakarta.enterprise.context.ApplicationScoped;
import jakarta.enterprise.event.Observes;
import jakarta.inject.Inject;
import jakarta.interceptor.Interceptor;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicReference;
import org.eclipse.microprofile.config.inject.ConfigProperty;
import org.jboss.logging.Logger;

/// What a SIGTERM does: no new request is taken, those in hand are answered to their end within
/// `quarkus.shutdown.timeout`. Quarkus itself waits for HTTP; this waits for gRPC too.
@ApplicationScoped
public class Drain {
    private static final Logger LOG = Logger.getLogger(Drain.class);

    /// For the thread that brings a signal: it has no class loader to find a bean with, let alone to make it.
    private static final AtomicReference<Drain> STARTED = new AtomicReference<>();

    private final Capacity capacity;
    private final Duration limit;

    @Inject
    public Drain(Capacity capacity, @ConfigProperty(name = "quarkus.shutdown.timeout") Optional<Duration> limit) {
        this.capacity = capacity;
        this.limit = limit.orElse(Duration.ZERO);
    }

    void ready(@Observes StartupEvent started) {
        STARTED.set(this);
    }

    /// Takes no new request from now on. May be called before the gateway has started, when there is nothing
    /// to drain, and more than once.
    public static void begin() {
        Drain started = STARTED.get();
        if (started != null) {
            started.capacity.close();
        }
    }

    // Before the connections to schedulers are closed.
    void finish(@Observes @Priority(Interceptor.Priority.PLATFORM_BEFORE) ShutdownEvent stopping)
            throws InterruptedException {
        capacity.close();
        if (!capacity.awaitNone(limit)) {
            LOG.warnf("%d requests are cut short: %d s are over", capacity.requests(), limit.toSeconds());
        }
    }
}
