package io.penstock.gateway.health;

import io.penstock.gateway.catalogue.ModelCatalogue;
import jakarta.enterprise.context.ApplicationScoped;
import jakarta.inject.Inject;
import org.eclipse.microprofile.health.HealthCheck;
import org.eclipse.microprofile.health.HealthCheckResponse;
import org.eclipse.microprofile.health.Readiness;

/// Ready when at least one model can be served: a scheduler has a group for it, and its tokenizer is here.
@Readiness
@ApplicationScoped
public class SchedulersReady implements HealthCheck {
    private final ModelCatalogue models;

    @Inject
    public SchedulersReady(ModelCatalogue models) {
        this.models = models;
    }

    @Override
    public HealthCheckResponse call() {
        return HealthCheckResponse.named("models")
                .status(models.ready())
                .withData("known", models.all().size())
                .build();
    }
}
