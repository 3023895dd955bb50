package io.penstock.shard.health;

import io.penstock.shard.ShardProcess;
import io.penstock.shard.step.StepLoop;
import jakarta.inject.Singleton;
import org.eclipse.microprofile.health.HealthCheck;
import org.eclipse.microprofile.health.HealthCheckResponse;
import org.eclipse.microprofile.health.Readiness;

/// Weights are loaded, peers are met, the scheduler's steps are obeyed.
@Readiness
@Singleton
public class ServingReadiness implements HealthCheck {
    private final ShardProcess process;

    ServingReadiness(ShardProcess process) {
        this.process = process;
    }

    @Override
    public HealthCheckResponse call() {
        StepLoop.State state = process.loop().map(StepLoop::state).orElse(StepLoop.State.DETACHED);
        return HealthCheckResponse.named("serving")
                .status(state == StepLoop.State.SERVING)
                .withData("state", state.name())
                .build();
    }
}
