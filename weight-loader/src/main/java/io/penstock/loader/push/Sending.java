package io.penstock.loader.push;

import io.penstock.loader.source.Failures;
import io.penstock.loader.source.RemoteHttp;
import io.penstock.loader.source.Renewable;
import io.penstock.loader.source.ServiceFailure;
import io.penstock.loader.source.TransientFailure;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.io.IOException;
import java.net.http.HttpClient;
import java.net.http.HttpHeaders;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Function;

/// Sends bytes of a file, and gives up where nobody takes them any more.
///
/// @param stallTimeout without a byte that was taken
record Sending(HttpClient client, Duration stallTimeout) {
    private static final int MAX_ANSWER = 1 << 20;

    /// One attempt.
    ///
    /// @param account renewed where it is refused
    /// @param request with the region's body, signed now
    /// @return the answer's headers
    <A> HttpHeaders send(String what, Renewable<A> account, Function<A, HttpRequest> request, FileRegion region) {
        A signer = account.get();
        HttpResponse<byte[]> answer = await(
                what,
                client.sendAsync(request.apply(signer), BodyHandlers.limiting(BodyHandlers.ofByteArray(), MAX_ANSWER)),
                region);
        if (answer.statusCode() < 300) {
            return answer.headers();
        }
        RuntimeException failure = RemoteHttp.failure(
                what, answer.statusCode(), answer.headers(), new String(answer.body(), StandardCharsets.UTF_8));
        if (RemoteHttp.isRefusal(failure)) {
            account.renew(signer);
        }
        // What is wrong with a request that others like it were right in is its bytes.
        throw failure instanceof ServiceFailure known && known.status() == 400
                ? new TransientFailure("checksum", known.getMessage())
                : failure;
    }

    private HttpResponse<byte[]> await(String what, CompletableFuture<HttpResponse<byte[]>> sent, FileRegion region) {
        long poll = Math.max(1, Math.min(1000, stallTimeout.toMillis() / 4));
        try {
            while (true) {
                try {
                    return sent.get(poll, TimeUnit.MILLISECONDS);
                } catch (TimeoutException e) {
                    if (region.silence().compareTo(stallTimeout) > 0) {
                        throw new TransientFailure(
                                "stalled", Duration.ZERO, what + ": no byte taken for " + stallTimeout, e);
                    }
                }
            }
        } catch (ExecutionException e) {
            throw e.getCause() instanceof IOException broken
                    ? new TransientFailure("reset", Duration.ZERO, what + ": " + RemoteHttp.describe(broken), broken)
                    : Failures.of(e.getCause(), what);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new PenstockException(ErrorCategory.UNAVAILABLE, e, "%s: stopped", what);
        } finally {
            sent.cancel(true);
        }
    }
}
