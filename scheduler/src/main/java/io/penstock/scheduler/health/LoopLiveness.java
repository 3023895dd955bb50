package io.penstock.scheduler.health;

import io.penstock.scheduler.group.GroupLoop;
import io.penstock.scheduler.group.Groups;
import jakarta.inject.Singleton;
import java.util.concurrent.TimeUnit;
import org.eclipse.microprofile.health.HealthCheck;
import org.eclipse.microprofile.health.HealthCheckResponse;
import org.eclipse.microprofile.health.Liveness;

/// Every group's loop comes round: its thread lives and is not stuck.
@Liveness
@Singleton
public class LoopLiveness implements HealthCheck {
    private static final long STUCK = TimeUnit.SECONDS.toNanos(10);

    private final Groups groups;

    LoopLiveness(Groups groups) {
        this.groups = groups;
    }

    @Override
    public HealthCheckResponse call() {
        boolean up = true;
        for (GroupLoop loop : groups.all()) {
            up &= loop.alive() && loop.nanosSinceTurn() < STUCK;
        }
        return HealthCheckResponse.named("scheduling loops").status(up).build();
    }
}
