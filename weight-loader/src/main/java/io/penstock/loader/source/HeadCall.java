package io.penstock.loader.source;

import io.penstock.loader.wire.Receiver;
import io.penstock.loader.wire.WireClient;
import io.penstock.loader.wire.WireRequest;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.io.IOException;
import java.net.http.HttpHeaders;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/// One HEAD by the wire client.
final class HeadCall implements Receiver {
    private final CompletableFuture<RemoteHttp.Head> answer = new CompletableFuture<>();

    private HeadCall() {}

    /// Blocks until it is answered.
    ///
    /// @param what for messages
    /// @throws TransientFailure where it breaks or takes too long
    /// @throws PenstockException where it may not be sent at all
    static RemoteHttp.Head send(WireClient wire, String what, WireRequest request, Duration timeout) {
        HeadCall head = new HeadCall();
        WireClient.Call call = wire.send(request, head);
        try {
            return head.answer.get(timeout.toMillis(), TimeUnit.MILLISECONDS);
        } catch (ExecutionException e) {
            if (e.getCause() instanceof IOException broken) {
                throw new TransientFailure("reset", Duration.ZERO, what + ": " + RemoteHttp.describe(broken), broken);
            }
            throw Failures.of(e.getCause(), what);
        } catch (TimeoutException e) {
            call.cancel();
            throw new TransientFailure("stalled", Duration.ZERO, what + ": no answer for " + timeout, e);
        } catch (InterruptedException e) {
            call.cancel();
            Thread.currentThread().interrupt();
            throw new PenstockException(ErrorCategory.UNAVAILABLE, e, "%s: stopped", what);
        }
    }

    @Override
    public void head(int status, HttpHeaders headers) {
        answer.complete(new RemoteHttp.Head(status, headers));
    }

    @Override
    public void bytes(ByteBuffer bytes) {
        throw new IllegalStateException("an answer to a HEAD has no body");
    }

    @Override
    public void end() {
        // All that it has was in its head.
    }

    @Override
    public void broken(Throwable failure) {
        answer.completeExceptionally(failure);
    }
}
