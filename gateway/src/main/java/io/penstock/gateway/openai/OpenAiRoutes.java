package io.penstock.gateway.openai;

import com.fasterxml.jackson.core.JsonGenerator;
import io.penstock.gateway.access.ApiKeys;
import io.penstock.gateway.access.Capacity;
import io.penstock.gateway.catalogue.ModelCatalogue;
import io.penstock.gateway.catalogue.ServedModel;
import io.penstock.gateway.chat.Completions;
import io.penstock.gateway.config.GatewayConfig;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.vertx.core.Vertx;
import io.vertx.core.buffer.Buffer;
import io.vertx.core.http.HttpServerRequest;
import io.vertx.core.http.HttpServerResponse;
import io.vertx.ext.web.Router;
import io.vertx.ext.web.RoutingContext;
import jakarta.enterprise.context.ApplicationScoped;
import jakarta.enterprise.event.Observes;
import jakarta.inject.Inject;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.Executor;
import java.util.concurrent.Executors;
import java.util.regex.Pattern;

/// The OpenAI REST API. On Vert.x itself: what a stream needs (room in the write queue, the moment its reader goes) is
/// not to be had above it.
@ApplicationScoped
public class OpenAiRoutes {
    private static final Pattern REQUEST_ID = Pattern.compile("[!-~]{1,128}");
    private static final String REQUEST_ID_HEADER = "x-request-id";
    private static final List<Integer> ROUTER_ERRORS = List.of(400, 404, 405, 406, 415, 500);

    private final GatewayConfig config;
    private final Completions completions;
    private final ModelCatalogue models;
    private final ApiKeys keys;
    private final Capacity capacity;
    private final Vertx vertx;
    private final Executor threads = Executors.newThreadPerTaskExecutor(
            Thread.ofVirtual().name("request-", 0).factory());

    @Inject
    public OpenAiRoutes(
            GatewayConfig config,
            Completions completions,
            ModelCatalogue models,
            ApiKeys keys,
            Capacity capacity,
            Vertx vertx) {
        this.config = config;
        this.completions = completions;
        this.models = models;
        this.keys = keys;
        this.capacity = capacity;
        this.vertx = vertx;
    }

    void register(@Observes Router router) {
        router.route("/v1/*").handler(this::guard);
        router.post("/v1/chat/completions").handler(http -> complete(http, new ChatCompletionFormat(models)));
        router.post("/v1/completions").handler(http -> complete(http, new TextCompletionFormat(models)));
        router.get("/v1/models").handler(this::listModels);
        router.get("/v1/models/*").handler(this::describeModel);
        for (int status : ROUTER_ERRORS) {
            router.errorHandler(status, http -> fail(http, HttpError.of(status)));
        }
    }

    /// What every request must pass.
    private void guard(RoutingContext http) {
        HttpServerRequest request = http.request();
        String id = Optional.ofNullable(request.getHeader(REQUEST_ID_HEADER))
                .filter(text -> REQUEST_ID.matcher(text).matches())
                .orElseGet(() -> UUID.randomUUID().toString());
        http.response().putHeader(REQUEST_ID_HEADER, id);
        long limit = config.maxHeader().asLongValue();
        if (headerLength(request) > limit) {
            http.response().putHeader("connection", "close");
            fail(http, HttpError.headersTooLarge(limit));
        } else if (!keys.admit(request.getHeader("authorization"))) {
            http.response().putHeader("www-authenticate", "Bearer");
            fail(http, HttpError.unauthorised());
        } else {
            http.next();
        }
    }

    private static long headerLength(HttpServerRequest request) {
        long length = request.uri().length();
        for (Map.Entry<String, String> header : request.headers()) {
            length += header.getKey().length() + header.getValue().length() + 4;
        }
        return length;
    }

    private void complete(RoutingContext http, Format format) {
        HttpServerRequest request = http.request();
        if (!isJson(request.getHeader("content-type"))) {
            fail(http, HttpError.of(415));
            return;
        }
        try {
            capacity.enter();
        } catch (PenstockException e) {
            fail(http, HttpError.of(e));
            return;
        }
        Exchange exchange = new Exchange(request, format, completions, config.keepAlive(), config.stallTimeout());
        Place place = new Place(capacity);
        http.response().closeHandler(closed -> {
            exchange.readerGone();
            place.leaveUnlessTaken();
        });
        http.response().exceptionHandler(failure -> exchange.readerGone());
        new BodyReader(
                        request,
                        vertx,
                        capacity,
                        config.maxBody().asLongValue(),
                        body -> {
                            place.take();
                            threads.execute(() -> {
                                try {
                                    exchange.run(body.getBytes());
                                } finally {
                                    capacity.release(body.length());
                                    place.leave();
                                }
                            });
                        },
                        error -> {
                            exchange.refuse(error);
                            place.leaveUnlessTaken();
                        })
                .start();
    }

    private static boolean isJson(String contentType) {
        if (contentType == null) {
            return false;
        }
        int end = contentType.indexOf(';');
        String type = (end < 0 ? contentType : contentType.substring(0, end)).strip();
        return type.equalsIgnoreCase("application/json");
    }

    private void listModels(RoutingContext http) {
        respond(http, json -> {
            json.writeStartObject();
            json.writeStringField("object", "list");
            json.writeArrayFieldStart("data");
            for (ServedModel model : models.all()) {
                write(json, model);
            }
            json.writeEndArray();
            json.writeEndObject();
        });
    }

    private void describeModel(RoutingContext http) {
        String name = http.normalizedPath().substring("/v1/models/".length());
        Optional<ServedModel> found =
                models.all().stream().filter(model -> model.name().equals(name)).findFirst();
        if (found.isEmpty()) {
            fail(
                    http,
                    HttpError.of(
                            new PenstockException(ErrorCategory.NOT_FOUND, "The model `%s` does not exist.", name)));
            return;
        }
        respond(http, json -> write(json, found.get()));
    }

    private static void write(JsonGenerator json, ServedModel model) throws IOException {
        json.writeStartObject();
        json.writeStringField("id", model.name());
        json.writeStringField("object", "model");
        json.writeNumberField("created", model.created());
        json.writeStringField("owned_by", "penstock");
        json.writeNumberField("max_model_len", model.contextLength());
        json.writeEndObject();
    }

    @FunctionalInterface
    private interface JsonBody {
        void write(JsonGenerator json) throws IOException;
    }

    private static void respond(RoutingContext http, JsonBody body) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (JsonGenerator json = Json.FACTORY.createGenerator(bytes)) {
            body.write(json);
        } catch (IOException e) {
            throw new UncheckedIOException("writing to memory failed", e);
        }
        http.response().putHeader("content-type", "application/json").end(Buffer.buffer(bytes.toByteArray()));
    }

    private static void fail(RoutingContext http, HttpError error) {
        HttpServerResponse response = http.response();
        if (response.ended() || response.headWritten()) {
            return;
        }
        if (error.retryAfter() > 0) {
            response.putHeader("retry-after", Integer.toString(error.retryAfter()));
        }
        response.setStatusCode(error.status())
                .putHeader("content-type", "application/json")
                .end(Buffer.buffer(error.bytes()));
    }
}
