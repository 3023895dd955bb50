package io.penstock.gateway.health;

import io.penstock.gateway.access.Capacity;
import io.penstock.gateway.catalogue.ModelCatalogue;
import jakarta.enterprise.context.ApplicationScoped;
import jakarta.inject.Inject;
import org.eclipse.microprofile.health.HealthCheck;
import org.eclipse.microprofile.health.HealthCheckResponse;
import org.eclipse.microprofile.health.HealthCheckResponseBuilder;
import org.eclipse.microprofile.health.Readiness;

/// Ready when at least one model can be served: a scheduler has a group for it, and its tokenizer is here. Not while
/// the gateway stops.
@Readiness
@ApplicationScoped
public class SchedulersReady implements HealthCheck {
    private final ModelCatalogue models;
    private final Capacity capacity;

    @Inject
    public SchedulersReady(ModelCatalogue models, Capacity capacity) {
        this.models = models;
        this.capacity = capacity;
    }

    @Override
    public HealthCheckResponse call() {
        HealthCheckResponseBuilder response = HealthCheckResponse.named("models")
                .status(models.ready() && !capacity.isClosed())
                .withData("known", models.all().size());
        models.unreadable().forEach(response::withData);
        return response.build();
    }
}
