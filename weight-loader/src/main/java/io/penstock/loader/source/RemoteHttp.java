package io.penstock.loader.source;

import io.penstock.loader.wire.Reach;
import io.penstock.loader.wire.WireClient;
import io.penstock.loader.wire.WireRequest;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.io.IOException;
import java.net.http.HttpClient;
import java.net.http.HttpHeaders;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.time.DateTimeException;
import java.time.Duration;
import java.time.Instant;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Supplier;

/// The HTTP client that sources and transfers share, and what statuses mean to them.
///
/// HTTP/1.1 on purpose: many connections carry more than many streams of one. Redirects are never followed
/// unseen, and what asks at the place that one names goes by the [WireClient]: the JDK's client looks a name up by
/// itself,
/// where nobody can say what it may find.
public final class RemoteHttp implements AutoCloseable {
    private static final Duration CONNECT_TIMEOUT = Duration.ofSeconds(10);
    private static final Duration CALL_TIMEOUT = Duration.ofSeconds(30);
    private static final long MAX_BODY = 64 << 20;
    private static final int MAX_SHOWN = 300;

    private final HttpClient client = HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .followRedirects(HttpClient.Redirect.NEVER)
            .connectTimeout(CONNECT_TIMEOUT)
            .build();
    private final Retry retry;
    private final WireClient wire;
    private final Reach ofRedirects;

    /// @param wire closed by who made it
    /// @param ofRedirects how far redirects to other places than those of the configuration may reach
    public RemoteHttp(Retry retry, WireClient wire, Reach ofRedirects) {
        this.retry = retry;
        this.wire = wire;
        this.ofRedirects = ofRedirects;
    }

    public HttpClient client() {
        return client;
    }

    public Retry retry() {
        return retry;
    }

    Reach ofRedirects() {
        return ofRedirects;
    }

    /// What a HEAD brings.
    record Head(int status, HttpHeaders headers) {}

    /// A HEAD, repeated while it fails for a moment.
    ///
    /// @param what for messages
    /// @param request made anew for each attempt
    /// @return of status 2xx or 3xx
    /// @throws PenstockException for any other status, see [#failure], and for an address that is not allowed
    Head head(String what, Supplier<WireRequest> request) {
        return retry.call(what, Head.class, () -> {
            Head head = HeadCall.send(wire, what, request.get(), CALL_TIMEOUT);
            if (head.status() >= 400) {
                throw known(failure(what, head.status(), head.headers(), ""));
            }
            return head;
        });
    }

    /// @return the failure, or where it is for credentials what does not have it repeated
    private static RuntimeException known(RuntimeException failure) {
        return isRefusal(failure) ? refused(failure) : failure;
    }

    /// A small call, repeated while it fails for a moment.
    ///
    /// @param what for messages
    /// @param request made anew for each attempt
    /// @return 2xx or 3xx
    /// @throws PenstockException for any other status, see [#failure]
    public HttpResponse<byte[]> call(String what, Supplier<HttpRequest> request) {
        return repeated(what, request, _ -> {});
    }

    private HttpResponse<byte[]> repeated(
            String what, Supplier<HttpRequest> request, Consumer<HttpResponse<byte[]>> check) {
        return retry.call(what, Answer.class, () -> attempt(what, request, check))
                .response();
    }

    /// The same, signed; where our credentials are refused it is tried once more with those of the moment.
    ///
    /// @param request made anew for each attempt, signed with what it is given
    public <A> HttpResponse<byte[]> call(String what, Renewable<A> account, Function<A, HttpRequest> request) {
        return call(what, account, request, _ -> {});
    }

    /// The same, of a service that may say in the body of a 200 that it has failed.
    ///
    /// @param check throws what that means; a [TransientFailure] is repeated
    public <A> HttpResponse<byte[]> call(
            String what, Renewable<A> account, Function<A, HttpRequest> request, Consumer<HttpResponse<byte[]>> check) {
        A signer = account.get();
        try {
            return repeated(what, () -> request.apply(signer), check);
        } catch (PenstockException e) {
            if (!isRefusal(e.getCause())) {
                throw e;
            }
            account.renew(signer);
            A fresh = account.get();
            return repeated(what, () -> request.apply(fresh), check);
        }
    }

    /// Gives the guard a class to know the answer by.
    private record Answer(HttpResponse<byte[]> response) {}

    private Answer attempt(String what, Supplier<HttpRequest> request, Consumer<HttpResponse<byte[]>> check) {
        HttpResponse<byte[]> response;
        try {
            response = client.send(
                    HttpRequest.newBuilder(request.get(), (_, _) -> true)
                            .timeout(CALL_TIMEOUT)
                            .build(),
                    BodyHandlers.limiting(BodyHandlers.ofByteArray(), MAX_BODY));
        } catch (IOException e) {
            throw new TransientFailure("reset", Duration.ZERO, what + ": " + describe(e), e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new PenstockException(ErrorCategory.UNAVAILABLE, e, "%s: stopped", what);
        }
        if (response.statusCode() >= 400) {
            throw known(failure(
                    what,
                    response.statusCode(),
                    response.headers(),
                    new String(response.body(), StandardCharsets.UTF_8)));
        }
        check.accept(response);
        return new Answer(response);
    }

    /// @return whether another attempt needs other credentials
    public static boolean isRefusal(Throwable failure) {
        return failure instanceof TransientFailure known && known.kind().equals(TransientFailure.CREDENTIALS);
    }

    /// @return what a caller hears of credentials that are refused for good
    public static PenstockException refused(RuntimeException failure) {
        return new PenstockException(ErrorCategory.UNAVAILABLE, failure, "%s", failure.getMessage());
    }

    /// What a status from 400 on means for the one who asked.
    ///
    /// @param body tells the service's code; its beginning is shown, for the log
    /// @return a [TransientFailure] or a [ServiceFailure]
    public static RuntimeException failure(String what, int status, HttpHeaders headers, String body) {
        String shown = body.length() > MAX_SHOWN ? body.substring(0, MAX_SHOWN) + "..." : body;
        String text = what + ": " + status + " " + shown.replaceAll("\\p{Cntrl}", " ");
        String code = ServiceFailure.code(body);
        if (ServiceFailure.isOfCredentials(code)) {
            return new TransientFailure(TransientFailure.CREDENTIALS, "the source refuses our credentials: " + text);
        }
        return switch (status) {
            case 408, 425, 429, 500, 502, 503, 504 ->
                new TransientFailure(
                        status == 429 || status == 503 ? TransientFailure.THROTTLED : "refused",
                        retryAfter(headers),
                        text,
                        null);
            // Services that speak S3 say 403 to a key that is gone.
            case 401, 403 ->
                new TransientFailure(TransientFailure.CREDENTIALS, "the source refuses our credentials: " + text);
            case 404 -> new ServiceFailure(ErrorCategory.NOT_FOUND, status, code, text);
            case 412, 416 ->
                new ServiceFailure(
                        ErrorCategory.CORRUPT,
                        status,
                        code,
                        "the file has changed at its source since it was pinned, resolve the model again: " + text);
            default -> new ServiceFailure(ErrorCategory.UNAVAILABLE, status, code, text);
        };
    }

    /// The file is no longer the one that was pinned.
    public static PenstockException changed(String what, String given, String pinned) {
        return new PenstockException(
                ErrorCategory.CORRUPT,
                "%s: the file has changed at its source, its ETag is '%s' and not '%s'",
                what,
                given,
                pinned);
    }

    private static Duration retryAfter(HttpHeaders headers) {
        return headers.firstValue("retry-after").map(RemoteHttp::wait).orElse(Duration.ZERO);
    }

    /// @param value seconds or a date, as RFC 9110 has it; anything else asks for nothing
    static Duration wait(String value) {
        if (value.matches("\\d{1,6}")) {
            return Duration.ofSeconds(Long.parseLong(value));
        }
        try {
            Instant until = ZonedDateTime.parse(value, DateTimeFormatter.RFC_1123_DATE_TIME)
                    .toInstant();
            Duration wait = Duration.between(Instant.now(), until);
            return wait.isNegative() ? Duration.ZERO : wait;
        } catch (DateTimeException e) {
            // The back-off alone is sound.
            return Duration.ZERO;
        }
    }

    /// @return its message, or its class where it has none
    public static String describe(Throwable failure) {
        return failure.getMessage() == null ? failure.getClass().getSimpleName() : failure.getMessage();
    }

    @Override
    public void close() {
        client.shutdownNow();
    }
}
