package io.penstock.gateway.access;

import io.quarkus.arc.Unremovable;
import io.quarkus.runtime.ShutdownEvent;
import io.quarkus.runtime.StartupEvent;
import jakarta.annotation.Priority;
import jakarta.enterprise.context.ApplicationScoped;
import jakarta.enterprise.event.Observes;
import jakarta.inject.Inject;
import jakarta.interceptor.Interceptor;
import java.time.Duration;
import java.util.Optional;
import org.eclipse.microprofile.config.inject.ConfigProperty;
import org.jboss.logging.Logger;

/// What a SIGTERM does: no new request is taken, those in hand are answered to their end within
/// `quarkus.shutdown.timeout`. Quarkus itself waits for HTTP; this waits for gRPC too.
@Unremovable
@ApplicationScoped
public class Drain {
    private static final Logger LOG = Logger.getLogger(Drain.class);

    private final Capacity capacity;
    private final Duration limit;

    @Inject
    public Drain(Capacity capacity, @ConfigProperty(name = "quarkus.shutdown.timeout") Optional<Duration> limit) {
        this.capacity = capacity;
        this.limit = limit.orElse(Duration.ZERO);
    }

    // Here from the start: the thread that brings a signal has no class loader to make it with.
    void ready(@Observes StartupEvent started) {
        LOG.debugf("%d s to finish in when told to stop", limit.toSeconds());
    }

    /// May be called before the shutdown, and more than once.
    public void begin() {
        capacity.close();
    }

    // Before the connections to schedulers are closed.
    void finish(@Observes @Priority(Interceptor.Priority.PLATFORM_BEFORE) ShutdownEvent stopping)
            throws InterruptedException {
        begin();
        if (!capacity.awaitNone(limit)) {
            LOG.warnf("%d requests are cut short: %d s are over", capacity.requests(), limit.toSeconds());
        }
    }
}
