package io.penstock.cli;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.Iterator;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.Stream;

/// A streamed chat completion over the public REST API, as any client makes one.
public final class ChatStream {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final String DATA = "data:";

    /// @param role "system", "user" or "assistant"
    public record Message(String role, String content) {}

    /// @param text the whole answer
    /// @param finishReason as the server said it
    /// @param completionTokens tokens generated, as the server counted them
    /// @param firstTokenMillis from sending the request to the first text
    public record Answer(
            String text, String finishReason, int completionTokens, double firstTokenMillis, double totalMillis) {}

    private final HttpClient http = HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .connectTimeout(Duration.ofSeconds(10))
            .build();
    private final URI base;

    /// @param base of the gateway, such as `http://localhost:8080`
    public ChatStream(URI base) {
        this.base = base;
    }

    /// The first model that the gateway lists.
    public String firstModel() {
        HttpRequest request = HttpRequest.newBuilder(base.resolve("/v1/models"))
                .timeout(Duration.ofSeconds(10))
                .build();
        JsonNode models =
                parse(send(request, HttpResponse.BodyHandlers.ofString()).body());
        JsonNode id = models.path("data").path(0).path("id");
        if (!id.isTextual()) {
            throw new CommandFailure("%s serves no model at present", base);
        }
        return id.textValue();
    }

    /// @param onText told each piece of the answer as it arrives
    /// @throws CommandFailure if the server refuses, or breaks the stream off
    public Answer ask(String model, List<Message> messages, int maxTokens, float temperature, Consumer<String> onText) {
        ObjectNode body = JSON.createObjectNode()
                .put("model", model)
                .put("stream", true)
                .put("max_tokens", maxTokens)
                .put("temperature", temperature);
        body.putObject("stream_options").put("include_usage", true);
        body.set("messages", JSON.valueToTree(messages));
        HttpRequest request = HttpRequest.newBuilder(base.resolve("/v1/chat/completions"))
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(body.toString()))
                .build();
        long begin = System.nanoTime();
        HttpResponse<Stream<String>> response = send(request, HttpResponse.BodyHandlers.ofLines());
        try (Stream<String> lines = response.body()) {
            if (response.statusCode() != 200) {
                throw refused(response.statusCode(), String.join("\n", lines.toList()));
            }
            return read(lines.iterator(), begin, onText);
        } catch (java.io.UncheckedIOException e) {
            throw new CommandFailure("the stream from %s broke off: %s", base, e.getMessage());
        }
    }

    private Answer read(Iterator<String> lines, long begin, Consumer<String> onText) {
        StringBuilder text = new StringBuilder();
        String finishReason = null;
        int tokens = 0;
        double first = 0;
        while (lines.hasNext()) {
            String line = lines.next();
            if (!line.startsWith(DATA)) {
                continue;
            }
            String data = line.substring(DATA.length()).strip();
            if (data.equals("[DONE]")) {
                readToEnd(lines);
                return new Answer(text.toString(), finishReason, tokens, first, millisSince(begin));
            }
            JsonNode event = parse(data);
            if (event.has("error")) {
                throw new CommandFailure("the server failed in mid-stream: %s", message(event));
            }
            JsonNode choice = event.path("choices").path(0);
            String piece = choice.path("delta").path("content").asText("");
            if (!piece.isEmpty()) {
                first = first == 0 ? millisSince(begin) : first;
                text.append(piece);
                onText.accept(piece);
            }
            finishReason = choice.path("finish_reason").asText(finishReason);
            tokens = event.path("usage").path("completion_tokens").asInt(tokens);
        }
        throw new CommandFailure("the stream from %s ended without [DONE]", base);
    }

    /// An answer that is left at `[DONE]` has its connection closed by the JDK's client, which may have given it to the
    /// next request by then.
    private void readToEnd(Iterator<String> lines) {
        while (lines.hasNext()) {
            String line = lines.next();
            if (!line.isEmpty()) {
                throw new CommandFailure("the stream from %s went on after [DONE]: %s", base, line);
            }
        }
    }

    private <T> HttpResponse<T> send(HttpRequest request, HttpResponse.BodyHandler<T> handler) {
        try {
            return http.send(request, handler);
        } catch (IOException e) {
            throw new CommandFailure("cannot reach %s: %s", base, e.getMessage() == null ? e : e.getMessage());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new CommandFailure("interrupted");
        }
    }

    private static CommandFailure refused(int status, String body) {
        String reason;
        try {
            reason = message(JSON.readTree(body));
        } catch (IOException notJson) {
            reason = body;
        }
        return new CommandFailure("the server answered %d: %s", status, reason);
    }

    private static String message(JsonNode event) {
        return event.path("error").path("message").asText(event.toString());
    }

    private static JsonNode parse(String text) {
        try {
            return JSON.readTree(text);
        } catch (IOException e) {
            throw new CommandFailure("not JSON: %s", text);
        }
    }

    private static double millisSince(long begin) {
        return (System.nanoTime() - begin) / 1e6;
    }
}
