package io.penstock.cli.system;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.function.IntConsumer;
import java.util.stream.Stream;

/// A REST client that checks the shape of every stream it reads: role once, one finish reason, `[DONE]`
/// last.
final class Client {
    static final ObjectMapper JSON = new ObjectMapper();
    private static final String TOKEN_ID = "token_id:";

    private final HttpClient http =
            HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    private final URI base;

    Client(URI base) {
        this.base = base;
    }

    HttpResponse<String> post(String path, String body) throws IOException, InterruptedException {
        return http.send(
                HttpRequest.newBuilder(base.resolve(path))
                        .header("Content-Type", "application/json")
                        .POST(HttpRequest.BodyPublishers.ofString(body))
                        .build(),
                HttpResponse.BodyHandlers.ofString());
    }

    HttpResponse<String> get(String path) throws IOException, InterruptedException {
        return http.send(HttpRequest.newBuilder(base.resolve(path)).build(), HttpResponse.BodyHandlers.ofString());
    }

    static ObjectNode chat(String model, JsonNode messages, int maxTokens) {
        ObjectNode body = JSON.createObjectNode().put("model", model).put("max_tokens", maxTokens);
        body.set("messages", messages);
        return body.put("temperature", 0);
    }

    /// @param onToken told how many tokens have arrived, after each event
    Completion stream(ObjectNode chat, IntConsumer onToken) throws IOException, InterruptedException {
        ObjectNode body =
                chat.deepCopy().put("stream", true).put("logprobs", true).put("return_tokens_as_token_ids", true);
        HttpResponse<Stream<String>> response = http.send(
                HttpRequest.newBuilder(base.resolve("/v1/chat/completions"))
                        .header("Content-Type", "application/json")
                        .POST(HttpRequest.BodyPublishers.ofString(body.toString()))
                        .build(),
                HttpResponse.BodyHandlers.ofLines());
        try (Stream<String> lines = response.body()) {
            assertThat(response.statusCode()).isEqualTo(200);
            return read(lines.iterator(), onToken);
        }
    }

    private static Completion read(Iterator<String> lines, IntConsumer onToken) throws IOException {
        StringBuilder text = new StringBuilder();
        List<Completion.Token> tokens = new ArrayList<>();
        String finishReason = null;
        int roles = 0;
        while (lines.hasNext()) {
            String line = lines.next();
            if (line.isEmpty() || line.startsWith(":")) {
                continue;
            }
            assertThat(line).startsWith("data:");
            String data = line.substring("data:".length()).strip();
            if (data.equals("[DONE]")) {
                assertThat(roles).as("chunks with a role").isEqualTo(1);
                assertThat(finishReason).as("finish reason").isNotNull();
                // To its end: the JDK's client closes the connection of an answer that is left, though it may have
                // given
                // it to another request by then.
                lines.forEachRemaining(
                        rest -> assertThat(rest).as("after [DONE]").isEmpty());
                return new Completion(text.toString(), tokens, finishReason);
            }
            JsonNode event = JSON.readTree(data);
            assertThat(event.has("error")).as(data).isFalse();
            assertThat(finishReason).as("nothing follows the finish reason").isNull();
            JsonNode choice = event.get("choices").get(0);
            roles += choice.get("delta").has("role") ? 1 : 0;
            text.append(choice.get("delta").path("content").asText(""));
            for (JsonNode token : choice.path("logprobs").path("content")) {
                String id = token.get("token").textValue();
                assertThat(id).startsWith(TOKEN_ID);
                tokens.add(new Completion.Token(
                        Integer.parseInt(id.substring(TOKEN_ID.length())),
                        token.get("logprob").doubleValue()));
            }
            finishReason = choice.get("finish_reason").isNull()
                    ? null
                    : choice.get("finish_reason").textValue();
            onToken.accept(tokens.size());
        }
        throw new AssertionError("the stream ended without [DONE] after " + tokens.size() + " tokens");
    }
}
