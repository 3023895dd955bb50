package io.penstock.bench.load;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.stream.Stream;

/// One client with one greedy streamed chat at a time, each checked and timed.
public final class StreamedChat {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final HttpClient HTTP =
            HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

    /// A stream that breaks the API's promises.
    public static final class WrongStream extends Exception {
        WrongStream(String message) {
            super(message);
        }
    }

    /// @param firstMillis from the request to the first text
    /// @param gapMillis mean time between tokens after the first
    public record Timing(double firstMillis, double gapMillis, int tokens) {}

    public record Result(String text, Timing timing) {}

    private final URI url;
    private final String model;
    private final boolean logprobs;

    /// @param logprobs asks for them, by which every token is seen and counted; they cost the server a pass over the
    ///     vocabulary a token. Without, a token is what an event brings
    public StreamedChat(URI base, String model, boolean logprobs) {
        this.url = base.resolve("/v1/chat/completions");
        this.model = model;
        this.logprobs = logprobs;
    }

    public Result ask(String question, int maxTokens) throws WrongStream {
        ObjectNode body = JSON.createObjectNode()
                .put("model", model)
                .put("stream", true)
                .put("temperature", 0)
                .put("max_tokens", maxTokens)
                .put("logprobs", logprobs);
        body.putObject("stream_options").put("include_usage", true);
        body.putArray("messages").addObject().put("role", "user").put("content", question);
        HttpRequest request = HttpRequest.newBuilder(url)
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(body.toString()))
                .build();
        long begin = System.nanoTime();
        try {
            HttpResponse<Stream<String>> response = HTTP.send(request, HttpResponse.BodyHandlers.ofLines());
            try (Stream<String> lines = response.body()) {
                if (response.statusCode() != 200) {
                    throw new WrongStream(response.statusCode() + ": " + String.join("\n", lines.toList()));
                }
                // Read at once, understood later: whoever measures shares the machine with what it measures.
                List<Line> all = new ArrayList<>();
                lines.forEach(line -> all.add(new Line(line, System.nanoTime())));
                return read(all.iterator(), begin);
            }
        } catch (IOException | UncheckedIOException e) {
            throw new WrongStream("connection: " + e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new WrongStream("interrupted");
        }
    }

    private record Line(String text, long nanos) {}

    private Result read(Iterator<Line> lines, long begin) throws IOException, WrongStream {
        StringBuilder text = new StringBuilder();
        int tokens = 0;
        int finishes = 0;
        int counted = -1;
        long first = 0;
        long last = 0;
        while (lines.hasNext()) {
            Line line = lines.next();
            if (!line.text().startsWith("data:")) {
                continue;
            }
            String data = line.text().substring("data:".length()).strip();
            if (data.equals("[DONE]")) {
                if (finishes != 1 || (logprobs && counted != tokens)) {
                    throw new WrongStream(
                            "%d finish reasons; %d tokens arrived, usage says %d".formatted(finishes, tokens, counted));
                }
                readToEnd(lines);
                double gap = counted > 1 ? (last - first) / 1e6 / (counted - 1) : 0;
                return new Result(text.toString(), new Timing((first - begin) / 1e6, gap, counted));
            }
            JsonNode event = JSON.readTree(data);
            if (event.has("error")) {
                throw new WrongStream(data);
            }
            counted = event.path("usage").path("completion_tokens").asInt(counted);
            JsonNode choice = event.path("choices").path(0);
            int arrived = logprobs
                    ? choice.path("logprobs").path("content").size()
                    : choice.path("delta").path("content").asText("").isEmpty() ? 0 : 1;
            if (arrived > 0) {
                last = line.nanos();
                first = first == 0 ? last : first;
                tokens += arrived;
            }
            text.append(choice.path("delta").path("content").asText(""));
            finishes += choice.path("finish_reason").isTextual() ? 1 : 0;
        }
        throw new WrongStream("ended without [DONE] after " + tokens + " tokens");
    }

    /// An answer that is left at `[DONE]` has its connection closed by the JDK's client, which may have given it to the
    /// next request by then: that one fails with "header parser received no bytes" (JDK 25).
    private static void readToEnd(Iterator<Line> lines) throws WrongStream {
        while (lines.hasNext()) {
            String line = lines.next().text();
            if (!line.isEmpty()) {
                throw new WrongStream("after [DONE] came: " + line);
            }
        }
    }
}
