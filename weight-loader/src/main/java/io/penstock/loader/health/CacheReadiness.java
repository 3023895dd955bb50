package io.penstock.loader.health;

import io.penstock.loader.cache.CacheDirectory;
import io.penstock.model.PenstockException;
import jakarta.enterprise.context.ApplicationScoped;
import org.eclipse.microprofile.health.HealthCheck;
import org.eclipse.microprofile.health.HealthCheckResponse;
import org.eclipse.microprofile.health.Readiness;

/// Ready while the cache can be written.
@Readiness
@ApplicationScoped
public class CacheReadiness implements HealthCheck {
    private final CacheDirectory cache;

    CacheReadiness(CacheDirectory cache) {
        this.cache = cache;
    }

    @Override
    public HealthCheckResponse call() {
        try {
            cache.probe();
            return HealthCheckResponse.up("cache");
        } catch (PenstockException e) {
            return HealthCheckResponse.named("cache")
                    .down()
                    .withData("reason", e.getMessage())
                    .build();
        }
    }
}
