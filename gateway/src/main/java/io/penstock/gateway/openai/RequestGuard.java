package io.penstock.gateway.openai;

import io.penstock.gateway.access.ApiKeys;
import io.penstock.gateway.config.GatewayConfig;
import io.vertx.core.http.HttpServerRequest;
import io.vertx.ext.web.RoutingContext;
import jakarta.enterprise.context.ApplicationScoped;
import jakarta.inject.Inject;
import jakarta.ws.rs.core.Response;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.regex.Pattern;
import org.jboss.resteasy.reactive.server.ServerRequestFilter;

/// What every request must pass, on its event loop, before a resource is looked for.
@ApplicationScoped
public class RequestGuard {
    private static final Pattern REQUEST_ID = Pattern.compile("[!-~]{1,128}");
    private static final String REQUEST_ID_HEADER = "x-request-id";

    private final long maxHeader;
    private final ApiKeys keys;

    @Inject
    public RequestGuard(GatewayConfig config, ApiKeys keys) {
        this.maxHeader = config.maxHeader().asLongValue();
        this.keys = keys;
    }

    /// @return a refusal, or empty
    @ServerRequestFilter(preMatching = true)
    public Optional<Response> check(RoutingContext http) {
        // Whatever its path: what is a path of the API is decided by the matching, which is not done again here.
        HttpServerRequest request = http.request();
        String id = Optional.ofNullable(request.getHeader(REQUEST_ID_HEADER))
                .filter(text -> REQUEST_ID.matcher(text).matches())
                .orElseGet(() -> UUID.randomUUID().toString());
        http.response().putHeader(REQUEST_ID_HEADER, id);
        if (isAmbiguous(request)) {
            Failures.hangUpAfter(http);
            return Optional.of(HttpError.of(400).response());
        }
        if (headerLength(request) > maxHeader) {
            Failures.hangUpAfter(http);
            return Optional.of(HttpError.headersTooLarge(maxHeader).response());
        }
        if (!keys.admit(request.getHeader("authorization"))) {
            http.response().putHeader("www-authenticate", "Bearer");
            return Optional.of(HttpError.unauthorised().response());
        }
        Reader reader = Reader.watch(http);
        if (!request.isEnded()) {
            // Kept for whoever reads it. Who does not must not leave the connection standing.
            request.pause();
            reader.onceOver(() -> reader.loop().runOnContext(over -> discardRest(request)));
        }
        return Optional.empty();
    }

    /// Whether a proxy before us may have understood another request than we do.
    private static boolean isAmbiguous(HttpServerRequest request) {
        return request.headers().getAll("host").size() > 1;
    }

    // What has ended must not be touched: over HTTP/2 that is an error.
    private static void discardRest(HttpServerRequest request) {
        if (!request.isEnded()) {
            request.resume();
        }
    }

    private static long headerLength(HttpServerRequest request) {
        long length = request.uri().length();
        for (Map.Entry<String, String> header : request.headers()) {
            length += header.getKey().length() + header.getValue().length() + 4;
        }
        return length;
    }
}
