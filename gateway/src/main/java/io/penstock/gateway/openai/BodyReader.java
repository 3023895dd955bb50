package io.penstock.gateway.openai;

import io.penstock.gateway.access.Capacity;
import io.penstock.model.PenstockException;
import io.vertx.core.Vertx;
import io.vertx.core.buffer.Buffer;
import io.vertx.core.http.HttpServerRequest;
import io.vertx.core.http.HttpVersion;
import io.vertx.ext.web.RoutingContext;
import java.time.Duration;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;

/// Reads one request's body, on its event loop, up to a bound. What comes after that is read and thrown away for a
/// while, because a client that is still sending does not listen.
///
/// Not a resource's `InputStream`: over HTTP/2 that one waits for the whole connection's monitor, and the bytes of one
/// stream can wake the reader of another.
final class BodyReader {
    private static final long LINGER_MILLIS = 5_000;

    private final HttpServerRequest request;
    private final Vertx vertx;
    private final Capacity capacity;
    private final long limit;
    private final Duration patience;
    private final CompletableFuture<Buffer> whole = new CompletableFuture<>();
    private final Buffer body = Buffer.buffer();
    private long held;
    private long timer;
    private boolean over;
    private boolean refused;
    private boolean drained;

    private BodyReader(HttpServerRequest request, Vertx vertx, Capacity capacity, long limit, Duration patience) {
        this.request = request;
        this.vertx = vertx;
        this.capacity = capacity;
        this.limit = limit;
        this.patience = patience;
    }

    /// Waits until the body is here.
    ///
    /// @return its bytes stay counted in `capacity` until they are released
    /// @throws RefusedException if it is too long, too slow or too much for now; none of its bytes stay counted
    /// @throws CancellationException if the client is gone, or sends no HTTP; none of its bytes stay counted
    static byte[] read(RoutingContext http, Reader reader, Capacity capacity, long limit, Duration patience)
            throws InterruptedException {
        BodyReader body = new BodyReader(http.request(), http.vertx(), capacity, limit, patience);
        reader.loop().runOnContext(start -> body.start());
        reader.onceOver(() -> reader.loop().runOnContext(end -> {
            body.abandon();
            body.hangUpOnceTold();
        }));
        try {
            return body.whole.get().getBytes();
        } catch (ExecutionException e) {
            if (e.getCause() instanceof RefusedException refused) {
                throw refused;
            }
            throw new IllegalStateException("a body cannot be read", e.getCause());
        }
    }

    private void start() {
        if (over) {
            return;
        }
        if (announced() > limit) {
            refuse(HttpError.bodyTooLarge(limit));
        } else {
            timer = vertx.setTimer(patience.toMillis(), id -> refuse(HttpError.bodyTooSlow()));
            if (mayBeAsked() && "100-continue".equalsIgnoreCase(request.getHeader("expect"))) {
                request.response().writeContinue();
            }
        }
        if (request.isEnded()) {
            ended();
            return;
        }
        request.handler(this::arrived);
        request.endHandler(end -> ended());
        request.exceptionHandler(failure -> abandon());
        request.resume();
    }

    private void abandon() {
        if (!over) {
            over = true;
            vertx.cancelTimer(timer);
            capacity.release(held);
            whole.completeExceptionally(new CancellationException("the client left before its body was here"));
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
            whole.complete(body);
        } else {
            drained = true;
            hangUpOnceTold();
        }
    }

    /// A client that was refused listens once it has sent all, and is to have its answer first.
    private void hangUpOnceTold() {
        if (refused && drained && request.response().ended()) {
            hangUp();
        }
    }

    private void refuse(HttpError error) {
        if (over) {
            return;
        }
        over = true;
        refused = true;
        vertx.cancelTimer(timer);
        capacity.release(held);
        if (!multiplexed()) {
            request.response().putHeader("connection", "close");
        }
        whole.completeExceptionally(new RefusedException(error));
        vertx.setTimer(LINGER_MILLIS, id -> hangUp());
    }

    /// Whether the client understands an answer before the answer (RFC 9110, 10.1.1).
    private boolean mayBeAsked() {
        return request.version() != HttpVersion.HTTP_1_0;
    }

    private boolean multiplexed() {
        return request.version() == HttpVersion.HTTP_2;
    }

    private void hangUp() {
        if (multiplexed()) {
            // Other streams of the connection have done nothing.
            request.response().reset();
        } else {
            request.connection().close();
        }
    }
}
