package io.penstock.shard.health;

import io.penstock.shard.ShardProcess;
import io.penstock.shard.config.ShardConfig;
import io.penstock.shard.step.StepLoop;
import jakarta.inject.Singleton;
import java.time.Duration;
import java.util.Optional;
import org.eclipse.microprofile.health.HealthCheck;
import org.eclipse.microprofile.health.HealthCheckResponse;
import org.eclipse.microprofile.health.Liveness;

/// The step in hand, if there is one, gets done. A process that has not begun to serve is alive.
@Liveness
@Singleton
public class StepLiveness implements HealthCheck {
    private final ShardProcess process;
    private final Duration stall;

    StepLiveness(ShardProcess process, ShardConfig config) {
        this.process = process;
        stall = config.stepStall();
    }

    @Override
    public HealthCheckResponse call() {
        Optional<StepLoop> loop = process.loop();
        boolean up = loop.map(each -> each.alive() && each.stalled().compareTo(stall) < 0)
                .orElse(true);
        return HealthCheckResponse.named("step loop")
                .status(up)
                .withData(
                        "stalledMillis",
                        loop.map(StepLoop::stalled).orElse(Duration.ZERO).toMillis())
                .build();
    }
}
