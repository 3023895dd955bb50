package io.penstock.loader.transfer;

import io.penstock.loader.cache.Blob;
import io.penstock.loader.source.RemoteHttp;
import io.penstock.loader.source.Source;
import io.penstock.loader.source.TransientFailure;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.io.IOException;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.HttpResponse.BodySubscriber;
import java.net.http.HttpResponse.ResponseInfo;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/// One attempt at one ranged GET: sends it, checks that the answer is the range that was asked for, of the
/// version that
/// is pinned, and watches that it does not fall silent.
final class PartFetch {
    private static final long MAX_ERROR_BODY = 1 << 16;

    private final RemoteHttp http;
    private final Duration stallTimeout;

    PartFetch(RemoteHttp http, Duration stallTimeout) {
        this.http = http;
        this.stallTimeout = stallTimeout;
    }

    /// Blocks until every piece has landed.
    ///
    /// @param from first piece
    /// @param to first piece after the range
    /// @throws TransientFailure what another attempt may cure
    /// @throws PenstockException what none will
    void fetch(Blob blob, Source.RangeRequests requests, int from, int to, PartBody.PieceSink sink) {
        long offset = (long) from * blob.pieceSize();
        long length = Math.min((long) to * blob.pieceSize(), blob.file().size()) - offset;
        String what = blob.file().name() + " at " + offset;
        HttpRequest request = requests.range(offset, length);
        PartBody body = new PartBody(blob, from, to, sink);
        CompletableFuture<HttpResponse<String>> answer =
                http.client().sendAsync(request, info -> choose(what, blob, offset, length, info, body));
        HttpResponse<String> response;
        try {
            response = await(what, answer, body);
        } catch (RuntimeException e) {
            // Another attempt may begin now: nothing of this one may reach the file after it.
            body.abandon(e);
            throw e;
        }
        if (response.statusCode() != 206 && response.statusCode() != 200) {
            throw RemoteHttp.failure(what, response.statusCode(), response.headers(), response.body());
        }
    }

    private static BodySubscriber<String> choose(
            String what, Blob blob, long offset, long length, ResponseInfo info, PartBody body) {
        if (info.statusCode() != 206 && info.statusCode() != 200) {
            return BodyHandlers.limiting(BodyHandlers.ofString(StandardCharsets.UTF_8), MAX_ERROR_BODY)
                    .apply(info);
        }
        RuntimeException wrong = info.statusCode() == 206
                ? wrongRange(what, blob, offset, length, info)
                : wrongWhole(what, blob, length, info);
        if (wrong == null) {
            wrong = wrongVersion(what, blob, info);
        }
        return wrong == null ? body : new RefusedBody(wrong);
    }

    private static RuntimeException wrongRange(String what, Blob blob, long offset, long length, ResponseInfo info) {
        String expected = "bytes " + offset + "-" + (offset + length - 1) + "/"
                + blob.file().size();
        String given = info.headers().firstValue("content-range").orElse("");
        return given.equals(expected)
                ? null
                : new TransientFailure("range", what + ": answered with '" + given + "', not '" + expected + "'");
    }

    private static RuntimeException wrongWhole(String what, Blob blob, long length, ResponseInfo info) {
        long given = info.headers().firstValueAsLong("content-length").orElse(-1);
        return length == blob.file().size() && given == length
                ? null
                : new TransientFailure("range", what + ": the range was ignored, 200 instead of 206");
    }

    private static RuntimeException wrongVersion(String what, Blob blob, ResponseInfo info) {
        String pinned = blob.file().etag().orElse(null);
        String given = info.headers().firstValue("etag").orElse(pinned);
        return pinned == null || pinned.equals(given)
                ? null
                : new PenstockException(
                        ErrorCategory.CORRUPT,
                        "%s: the file has changed at its source, its ETag is '%s' and not '%s'",
                        what,
                        given,
                        pinned);
    }

    private HttpResponse<String> await(String what, CompletableFuture<HttpResponse<String>> answer, PartBody body) {
        long poll = Math.max(1, Math.min(1000, stallTimeout.toMillis() / 4));
        while (true) {
            try {
                return answer.get(poll, TimeUnit.MILLISECONDS);
            } catch (TimeoutException e) {
                if (body.silence().compareTo(stallTimeout) > 0) {
                    answer.cancel(true);
                    throw new TransientFailure("stalled", Duration.ZERO, what + ": no byte for " + stallTimeout, e);
                }
            } catch (ExecutionException e) {
                throw unwrapped(what, e.getCause());
            } catch (InterruptedException e) {
                answer.cancel(true);
                Thread.currentThread().interrupt();
                throw new PenstockException(ErrorCategory.UNAVAILABLE, e, "%s: stopped", what);
            }
        }
    }

    private static RuntimeException unwrapped(String what, Throwable failure) {
        for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
            if (cause instanceof TransientFailure || cause instanceof PenstockException) {
                return (RuntimeException) cause;
            }
        }
        if (failure instanceof IOException) {
            String message = RemoteHttp.describe(failure);
            String kind = message.contains("EOF") || message.contains("bytes received") ? "truncated" : "reset";
            return new TransientFailure(kind, Duration.ZERO, what + ": " + message, failure);
        }
        return new PenstockException(ErrorCategory.INTERNAL, failure, "%s: %s", what, failure);
    }
}
