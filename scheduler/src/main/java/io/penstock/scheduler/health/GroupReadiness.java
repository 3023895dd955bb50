package io.penstock.scheduler.health;

import io.penstock.scheduler.group.GroupSnapshot;
import io.penstock.scheduler.group.Groups;
import jakarta.inject.Singleton;
import org.eclipse.microprofile.health.HealthCheck;
import org.eclipse.microprofile.health.HealthCheckResponse;
import org.eclipse.microprofile.health.HealthCheckResponseBuilder;
import org.eclipse.microprofile.health.Readiness;

/// Some group can serve, and the scheduler takes work.
@Readiness
@Singleton
public class GroupReadiness implements HealthCheck {
    private final Groups groups;

    GroupReadiness(Groups groups) {
        this.groups = groups;
    }

    @Override
    public HealthCheckResponse call() {
        HealthCheckResponseBuilder response = HealthCheckResponse.named("shard groups");
        boolean serving = false;
        for (GroupSnapshot snapshot : groups.snapshots()) {
            serving |= snapshot.serving();
            String state = snapshot.state().name();
            response.withData(snapshot.group(), snapshot.refusal() == null ? state : state + ": " + snapshot.refusal());
        }
        return response.status(serving && !groups.draining()).build();
    }
}
