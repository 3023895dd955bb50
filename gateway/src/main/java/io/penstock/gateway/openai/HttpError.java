package io.penstock.gateway.openai;

import com.fasterxml.jackson.core.JsonGenerator;
import io.penstock.gateway.access.BusyException;
import io.penstock.gateway.access.UnservableException;
import io.penstock.gateway.chat.Json;
import io.penstock.gateway.chat.RequestException;
import io.penstock.model.PenstockException;
import jakarta.ws.rs.core.HttpHeaders;
import jakarta.ws.rs.core.MediaType;
import jakarta.ws.rs.core.Response;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.Optional;

/// A failure as the OpenAI API tells it. The one place where categories become HTTP statuses, and where texts that are
/// for operators are kept from clients.
///
/// @param status of the response, if its head is not sent yet
/// @param parameter null: none
/// @param code null: none
/// @param retryAfter seconds; 0: no advice
record HttpError(int status, String type, String parameter, String code, String message, int retryAfter) {
    private static final String INVALID = "invalid_request_error";

    static HttpError of(PenstockException failure) {
        Optional<RequestException> request = failure instanceof RequestException e ? Optional.of(e) : Optional.empty();
        String parameter = request.flatMap(RequestException::parameter).orElse(null);
        String code = request.flatMap(RequestException::code).orElse(null);
        String message = failure.getMessage();
        return switch (failure.category()) {
            case BAD_INPUT -> new HttpError(400, INVALID, parameter, code, message, 0);
            case NOT_FOUND -> new HttpError(404, INVALID, "model", "model_not_found", message, 0);
            case OVERLOADED ->
                new HttpError(
                        429,
                        "rate_limit_exceeded",
                        null,
                        "rate_limit_exceeded",
                        "There is no room for this request now; try again later.",
                        failure instanceof BusyException busy ? seconds(busy.retryAfter()) : 1);
            case UNAVAILABLE ->
                failure instanceof UnservableException
                        ? unavailable(message, 0)
                        : unavailable("The model cannot be reached at the moment; try again later.", 2);
            case DEADLINE ->
                new HttpError(504, "timeout", null, "timeout", "The request took longer than it was given.", 0);
            case CORRUPT, INTERNAL -> internal();
        };
    }

    private static HttpError unavailable(String message, int retryAfter) {
        return new HttpError(503, "service_unavailable", null, "service_unavailable", message, retryAfter);
    }

    // Rounded up: who comes back earlier is refused again.
    private static int seconds(Duration duration) {
        return (int) Math.ceilDiv(duration.toMillis(), 1_000);
    }

    static HttpError internal() {
        return new HttpError(500, "server_error", null, "internal_error", "Something broke on our side.", 0);
    }

    static HttpError unauthorised() {
        return new HttpError(
                401, "authentication_error", null, "invalid_api_key", "No API key, or not one that is known here.", 0);
    }

    static HttpError bodyTooLarge(long limit) {
        return new HttpError(413, INVALID, null, "body_too_large", "The body exceeds %d bytes.".formatted(limit), 0);
    }

    static HttpError bodyTooSlow() {
        return new HttpError(408, INVALID, null, "body_too_slow", "The body did not come in time.", 0);
    }

    static HttpError headersTooLarge(long limit) {
        return new HttpError(
                431, INVALID, null, "headers_too_large", "The headers exceed %d bytes.".formatted(limit), 0);
    }

    /// Where the decoder gives up, before they can be counted.
    static HttpError headersTooLarge() {
        return new HttpError(431, INVALID, null, "headers_too_large", "The headers are too large.", 0);
    }

    static HttpError headersTooSlow() {
        return new HttpError(408, INVALID, null, "headers_too_slow", "The headers did not come in time.", 0);
    }

    static HttpError addressTooLong() {
        return new HttpError(414, INVALID, null, "url_too_long", "The first line of the request is too long.", 0);
    }

    /// What the router finds wrong before anything is read.
    static HttpError of(int status) {
        return switch (status) {
            case 404 -> new HttpError(404, INVALID, null, "unknown_url", "There is no such route.", 0);
            case 405 ->
                new HttpError(405, INVALID, null, "method_not_allowed", "The route does not take this method.", 0);
            case 415 ->
                new HttpError(415, INVALID, null, "unsupported_media_type", "The body must be `application/json`.", 0);
            case 400, 406 -> new HttpError(400, INVALID, null, null, "The request is malformed.", 0);
            default -> internal();
        };
    }

    /// The envelope.
    void write(JsonGenerator json) throws IOException {
        json.writeStartObject();
        json.writeObjectFieldStart("error");
        json.writeStringField("message", message);
        json.writeStringField("type", type);
        json.writeStringField("param", parameter);
        json.writeStringField("code", code);
        json.writeEndObject();
        json.writeEndObject();
    }

    Response response() {
        Response.ResponseBuilder response =
                Response.status(status).type(MediaType.APPLICATION_JSON_TYPE).entity(bytes());
        if (retryAfter > 0) {
            response.header(HttpHeaders.RETRY_AFTER, retryAfter);
        }
        return response.build();
    }

    byte[] bytes() {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (JsonGenerator json = Json.FACTORY.createGenerator(bytes)) {
            write(json);
        } catch (IOException e) {
            throw new UncheckedIOException("writing to memory failed", e);
        }
        return bytes.toByteArray();
    }
}
