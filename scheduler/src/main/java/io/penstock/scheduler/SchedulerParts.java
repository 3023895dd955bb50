package io.penstock.scheduler;

import io.micrometer.core.instrument.MeterRegistry;
import io.penstock.scheduler.config.SchedulerConfig;
import io.penstock.scheduler.group.GroupLimits;
import io.penstock.scheduler.group.GroupLoop;
import io.penstock.scheduler.group.Groups;
import io.penstock.scheduler.group.ShardGroup;
import io.penstock.scheduler.grpc.MonotonicClock;
import io.penstock.scheduler.telemetry.GroupTelemetry;
import io.penstock.scheduler.telemetry.RequestSpans;
import io.quarkus.runtime.Quarkus;
import jakarta.enterprise.inject.Disposes;
import jakarta.enterprise.inject.Produces;
import jakarta.inject.Singleton;

/// Puts the plain parts together with the framework's.
public class SchedulerParts {
    @Produces
    @Singleton
    Groups groups(SchedulerConfig config, MonotonicClock clock, MeterRegistry registry, RequestSpans spans) {
        GroupLimits limits = GroupLimits.of(config);
        return new Groups(
                name -> {
                    GroupTelemetry telemetry = new GroupTelemetry(name, registry, spans);
                    return new GroupLoop(
                            name,
                            new ShardGroup(name, limits, clock, telemetry),
                            clock,
                            limits.queueCapacity(),
                            telemetry::published,
                            () -> Quarkus.asyncExit(1));
                },
                clock,
                config.discoveryGrace().toNanos());
    }

    void close(@Disposes Groups groups) {
        groups.close();
    }
}
