package io.penstock.gateway.openai;

import io.penstock.gateway.access.Capacity;
import io.penstock.model.PenstockException;
import io.vertx.core.Vertx;
import io.vertx.core.buffer.Buffer;
import io.vertx.core.http.HttpServerRequest;
import java.util.function.Consumer;

/// Reads one request's body, on its event loop, up to a bound. What comes after that is read and thrown away for a
/// while, because a client that is still sending does not listen.
final class BodyReader {
    private static final long PATIENCE_MILLIS = 60_000;
    private static final long LINGER_MILLIS = 5_000;

    private final HttpServerRequest request;
    private final Vertx vertx;
    private final Capacity capacity;
    private final long limit;
    private final Consumer<Buffer> whole;
    private final Consumer<HttpError> refused;
    private final Buffer body = Buffer.buffer();
    private long held;
    private long timer;
    private boolean over;

    /// @param whole gets the body; its bytes stay counted in `capacity` until they are released
    /// @param refused gets the reason why there is none; none of its bytes stay counted
    BodyReader(
            HttpServerRequest request,
            Vertx vertx,
            Capacity capacity,
            long limit,
            Consumer<Buffer> whole,
            Consumer<HttpError> refused) {
        this.request = request;
        this.vertx = vertx;
        this.capacity = capacity;
        this.limit = limit;
        this.whole = whole;
        this.refused = refused;
    }

    void start() {
        if (announced() > limit) {
            refuse(HttpError.bodyTooLarge(limit));
        } else {
            timer = vertx.setTimer(PATIENCE_MILLIS, id -> refuse(HttpError.bodyTooSlow()));
            if ("100-continue".equalsIgnoreCase(request.getHeader("expect"))) {
                request.response().writeContinue();
            }
        }
        request.handler(this::arrived);
        request.endHandler(end -> ended());
        request.exceptionHandler(failure -> abandon());
        request.resume();
    }

    /// The client is gone, or sends what is no HTTP: whoever waits for the body hears of it by the response's handlers.
    private void abandon() {
        if (!over) {
            over = true;
            vertx.cancelTimer(timer);
            capacity.release(held);
        }
    }

    private long announced() {
        String length = request.getHeader("content-length");
        try {
            return length == null ? 0 : Long.parseLong(length);
        } catch (NumberFormatException e) {
            // More digits than a long has.
            return Long.MAX_VALUE;
        }
    }

    private void arrived(Buffer part) {
        if (over) {
            return;
        }
        if (part.length() > limit - body.length()) {
            refuse(HttpError.bodyTooLarge(limit));
            return;
        }
        try {
            capacity.hold(part.length());
        } catch (PenstockException e) {
            refuse(HttpError.of(e));
            return;
        }
        held += part.length();
        body.appendBuffer(part);
    }

    private void ended() {
        if (!over) {
            over = true;
            vertx.cancelTimer(timer);
            whole.accept(body);
        } else {
            // Refused, and now the client listens; what was sent goes out first.
            request.connection().close();
        }
    }

    private void refuse(HttpError error) {
        if (over) {
            return;
        }
        over = true;
        vertx.cancelTimer(timer);
        capacity.release(held);
        request.response().putHeader("connection", "close");
        refused.accept(error);
        vertx.setTimer(LINGER_MILLIS, id -> request.connection().close());
    }
}
