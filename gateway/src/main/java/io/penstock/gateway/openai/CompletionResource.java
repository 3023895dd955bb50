package io.penstock.gateway.openai;

import io.opentelemetry.context.Context;
import io.penstock.gateway.access.Capacity;
import io.penstock.gateway.catalogue.ModelCatalogue;
import io.penstock.gateway.chat.Completion;
import io.penstock.gateway.chat.Completions;
import io.penstock.gateway.chat.Json;
import io.penstock.gateway.chat.RequestException;
import io.penstock.gateway.config.GatewayConfig;
import io.smallrye.common.annotation.RunOnVirtualThread;
import io.vertx.ext.web.RoutingContext;
import jakarta.inject.Inject;
import jakarta.ws.rs.Consumes;
import jakarta.ws.rs.NotSupportedException;
import jakarta.ws.rs.POST;
import jakarta.ws.rs.Path;
import jakarta.ws.rs.core.MediaType;
import jakarta.ws.rs.core.Response;
import java.io.IOException;
import java.time.Duration;

/// `POST /v1/chat/completions` and `POST /v1/completions`. A request has a virtual thread of its own, which waits for
/// its body, for tokens and for its reader in turn.
@Path("/v1")
@Consumes(MediaType.APPLICATION_JSON)
@RunOnVirtualThread
public class CompletionResource {
    private final Completions completions;
    private final Capacity capacity;
    private final long maxBody;
    private final Duration bodyTimeout;
    private final Duration keepAlive;
    private final Duration stallTimeout;
    private final Format chats;
    private final Format texts;

    @Inject
    public CompletionResource(GatewayConfig config, Completions completions, ModelCatalogue models, Capacity capacity) {
        this.completions = completions;
        this.capacity = capacity;
        this.maxBody = config.maxBody().asLongValue();
        this.bodyTimeout = config.bodyTimeout();
        this.keepAlive = config.keepAlive();
        this.stallTimeout = config.stallTimeout();
        this.chats = new ChatCompletionFormat(models);
        this.texts = new TextCompletionFormat(models);
    }

    @POST
    @Path("chat/completions")
    public Response chat(RoutingContext http) throws IOException, InterruptedException {
        return complete(http, chats);
    }

    @POST
    @Path("completions")
    public Response text(RoutingContext http) throws IOException, InterruptedException {
        return complete(http, texts);
    }

    /// A body can be a hundred times smaller than the tree of its values: that one has to find room, too.
    private OpenAiRequest read(byte[] body, Format format) {
        long weight = Json.weight(body);
        if (weight > capacity.maxBytes() - body.length) {
            throw RequestException.bad(null, "The body holds more values than there is memory for.");
        }
        capacity.hold(weight);
        try {
            return format.read(new Fields(Json.parse(body), ""));
        } finally {
            capacity.release(weight);
        }
    }

    private Response complete(RoutingContext http, Format format) throws IOException, InterruptedException {
        long arrival = System.nanoTime();
        // A page of somebody else's can make a browser send a body without a type, and no JSON.
        // A body that is packed is not unpacked here.
        String type = http.request().getHeader("content-type");
        String coding = http.request().getHeader("content-encoding");
        if (type == null || type.isBlank() || (coding != null && !coding.equalsIgnoreCase("identity"))) {
            throw new NotSupportedException();
        }
        Reader reader = Reader.of(http);
        Place place = Place.in(capacity);
        Completion completion = null;
        boolean streams = false;
        try {
            byte[] body = BodyReader.read(http, reader, capacity, maxBody, bodyTimeout);
            place.holds(body.length);
            OpenAiRequest request = read(body, format);
            Completion running = completions.begin(request.completion(), arrival, request.stream(), Context.current());
            completion = running;
            reader.onceOver(running::cancel);
            AnswerWriter writer = new AnswerWriter(request, format);
            if (!request.stream()) {
                return Response.ok(WholeAnswer.of(running, writer), MediaType.APPLICATION_JSON_TYPE)
                        .build();
            }
            StreamedAnswer answer = StreamedAnswer.begin(running, writer, place, reader, keepAlive, stallTimeout);
            streams = true;
            return answer.response();
        } finally {
            if (!streams) {
                if (completion != null) {
                    completion.close();
                }
                place.close();
            }
        }
    }
}
