package io.penstock.gateway.openai;

import io.penstock.model.PenstockException;
import io.vertx.core.buffer.Buffer;
import io.vertx.core.http.HttpVersion;
import io.vertx.ext.web.Router;
import io.vertx.ext.web.RoutingContext;
import jakarta.enterprise.event.Observes;
import jakarta.inject.Singleton;
import jakarta.ws.rs.WebApplicationException;
import jakarta.ws.rs.core.Response;
import java.util.List;
import java.util.concurrent.CancellationException;
import org.jboss.logging.Logger;
import org.jboss.resteasy.reactive.server.ServerExceptionMapper;

/// Makes the API's envelope of whatever goes wrong before an answer has begun.
@Singleton
public class Failures {
    private static final Logger LOG = Logger.getLogger(Failures.class);
    private static final int FIRST = Integer.MIN_VALUE;
    private static final List<Integer> ROUTER_ERRORS = List.of(400, 404, 405, 406, 413, 415, 500);

    @ServerExceptionMapper
    public Response map(PenstockException failure) {
        report(failure);
        return HttpError.of(failure).response();
    }

    @ServerExceptionMapper
    public Response map(RefusedException failure) {
        return failure.error().response();
    }

    /// No such route, method or type.
    @ServerExceptionMapper
    public Response map(WebApplicationException failure) {
        return HttpError.of(failure.getResponse().getStatus()).response();
    }

    /// Nobody reads this.
    @ServerExceptionMapper
    public Response map(CancellationException gone) {
        LOG.debugf("answer cut short: %s", gone.getMessage());
        return HttpError.of(400).response();
    }

    @ServerExceptionMapper
    public Response map(Throwable defect) {
        LOG.error("a request failed", defect);
        return HttpError.internal().response();
    }

    static void report(PenstockException failure) {
        switch (failure.category()) {
            case BAD_INPUT, NOT_FOUND, OVERLOADED -> LOG.debugf("request refused: %s", failure.getMessage());
            case UNAVAILABLE, DEADLINE -> LOG.warnf("request failed: %s", failure.getMessage());
            case CORRUPT, INTERNAL -> LOG.error("request failed", failure);
        }
    }

    /// What the router finds wrong does not come as far as a resource.
    void register(@Observes Router router) {
        router.route().order(FIRST).failureHandler(Failures::malformed);
        for (int status : ROUTER_ERRORS) {
            router.errorHandler(status, http -> answer(http, HttpError.of(status)));
        }
    }

    // What is no HTTP to the router has no resource and no fault of ours: not a case for Quarkus' log of errors.
    private static void malformed(RoutingContext http) {
        if (http.statusCode() == 400 || http.statusCode() == 404) {
            hangUpAfter(http);
            answer(http, HttpError.of(http.statusCode()));
        } else {
            http.next();
        }
    }

    /// Makes the answer the last of its connection. The header alone is a promise that nobody here keeps. Of HTTP/2
    /// other streams would be cut, and what one sends cannot be taken for another's.
    static void hangUpAfter(RoutingContext http) {
        if (http.request().version() != HttpVersion.HTTP_2) {
            http.response().putHeader("connection", "close");
            http.addEndHandler(end -> http.request().connection().close());
        }
    }

    private static void answer(RoutingContext http, HttpError error) {
        if (!http.response().ended() && !http.response().headWritten()) {
            http.response()
                    .setStatusCode(error.status())
                    .putHeader("content-type", "application/json")
                    .end(Buffer.buffer(error.bytes()));
        }
    }
}
