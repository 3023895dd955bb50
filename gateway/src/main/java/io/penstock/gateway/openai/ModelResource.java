package io.penstock.gateway.openai;

import com.fasterxml.jackson.annotation.JsonProperty;
import io.penstock.gateway.catalogue.ModelCatalogue;
import io.penstock.gateway.catalogue.ServedModel;
import io.smallrye.common.annotation.NonBlocking;
import jakarta.inject.Inject;
import jakarta.ws.rs.GET;
import jakarta.ws.rs.Path;
import jakarta.ws.rs.PathParam;
import jakarta.ws.rs.Produces;
import jakarta.ws.rs.core.MediaType;
import java.util.List;

/// `GET /v1/models`: what requests may name.
@Path("/v1/models")
@Produces(MediaType.APPLICATION_JSON)
@NonBlocking
public class ModelResource {
    /// @param maxLength tokens of prompt and answer together; vLLM's name for it
    public record Model(
            String id,
            String object,
            long created,
            @JsonProperty("owned_by") String owner,
            @JsonProperty("max_model_len") int maxLength) {
        static Model of(ServedModel model) {
            return new Model(model.name(), "model", model.created(), "penstock", model.contextLength());
        }
    }

    public record Models(String object, List<Model> data) {}

    private final ModelCatalogue catalogue;

    @Inject
    public ModelResource(ModelCatalogue catalogue) {
        this.catalogue = catalogue;
    }

    @GET
    public Models list() {
        return new Models("list", catalogue.all().stream().map(Model::of).toList());
    }

    /// @param name may hold slashes
    @GET
    @Path("{name:.+}")
    public Model describe(@PathParam("name") String name) {
        return catalogue.all().stream()
                .filter(model -> model.name().equals(name))
                .findFirst()
                .map(Model::of)
                .orElseThrow(() -> ModelCatalogue.unknown(name));
    }
}
