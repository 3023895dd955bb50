package io.penstock.emulator;

import io.vertx.core.Future;
import io.vertx.core.Promise;
import io.vertx.core.Vertx;
import io.vertx.core.http.HttpServerRequest;

/// Lets faults strike uploads.
final class WriteFaults {
    private final Vertx vertx;
    private final Faults faults;

    WriteFaults(Vertx vertx, Faults faults) {
        this.vertx = vertx;
        this.faults = faults;
    }

    /// Something that is to be done with the body of a request.
    interface Deed {
        /// @param wrongByte position of a byte that arrives inverted, -1 for none
        Future<Void> with(long wrongByte);
    }

    Future<Void> strike(HttpServerRequest request, ObjectWrite write, Deed deed) {
        return switch (faults.next(write).orElse(null)) {
            case null -> deed.with(-1);
            case Fault.Latency(var delay) -> {
                // Nothing of the body may be lost meanwhile; who reads it resumes it.
                request.pause();
                yield vertx.timer(Math.max(1, delay.toMillis())).compose(_ -> deed.with(-1));
            }
            case Fault.Refusal(var status, var retryAfter) -> {
                retryAfter.ifPresent(
                        wait -> request.response().putHeader("retry-after", Long.toString(wait.toSeconds())));
                yield Future.failedFuture(new ServiceException(
                        status, status == 429 ? "TooManyRequests" : "ServiceUnavailable", "An injected refusal"));
            }
            case Fault.ExpiredCredentials() ->
                Future.failedFuture(ServiceException.notAuthenticated("an injected expiry of credentials"));
            case Fault.Corruption(var position) -> deed.with(position);
            // The answer is what gets lost: all is done, and the client cannot know.
            case Fault.Reset(var bytes)
            when bytes >= 0 -> {
                request.response().headersEndHandler(_ -> ObjectReads.reset(request));
                yield deed.with(-1);
            }
            case Fault.Reset _ -> ObjectReads.reset(request);
            case Fault.Stall _ -> {
                request.pause();
                yield Promise.<Void>promise().future();
            }
            case Fault.Truncation _, Fault.IgnoredRange _, Fault.ShiftedRange _, Fault.Replacement _ ->
                Future.failedFuture(new IllegalArgumentException("a fault of reads is meant for " + write));
        };
    }
}
