package io.penstock.gateway.health;

import io.penstock.gateway.access.Capacity;
import io.penstock.gateway.dispatch.Schedulers;
import jakarta.enterprise.context.ApplicationScoped;
import jakarta.inject.Inject;
import java.util.concurrent.TimeUnit;
import org.eclipse.microprofile.health.HealthCheck;
import org.eclipse.microprofile.health.HealthCheckResponse;
import org.eclipse.microprofile.health.Liveness;

/// Alive while the dispatch timer beats: without it no lost stream is resumed and no scheduler dialled again.
@Liveness
@ApplicationScoped
public class DispatchAlive implements HealthCheck {
    private static final long LONGEST_PAUSE_MILLIS = 15_000;

    private final Schedulers schedulers;
    private final Capacity capacity;

    @Inject
    public DispatchAlive(Schedulers schedulers, Capacity capacity) {
        this.schedulers = schedulers;
        this.capacity = capacity;
    }

    @Override
    public HealthCheckResponse call() {
        long pause = TimeUnit.NANOSECONDS.toMillis(schedulers.nanosSinceBeat());
        return HealthCheckResponse.named("dispatch")
                .status(pause < LONGEST_PAUSE_MILLIS)
                .withData("last beat, ms ago", pause)
                .withData("requests in hand", capacity.requests())
                .build();
    }
}
