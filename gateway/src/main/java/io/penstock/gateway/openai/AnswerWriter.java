package io.penstock.gateway.openai;

import com.fasterxml.jackson.core.JsonGenerator;
import io.penstock.gateway.chat.CompletionEvent;
import io.penstock.gateway.chat.Json;
import io.penstock.gateway.chat.Usage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.util.List;

/// Writes an answer as JSON: in chunks, each an event of a stream, or whole. One generator and one buffer serve the
/// whole stream.
final class AnswerWriter {
    private final OpenAiRequest request;
    private final Format format;
    private final ByteArrayOutputStream bytes = new ByteArrayOutputStream(1 << 10);
    private final JsonGenerator json;
    private final boolean[] started;

    AnswerWriter(OpenAiRequest request, Format format) throws IOException {
        this.request = request;
        this.format = format;
        this.json = Json.FACTORY.createGenerator(bytes);
        this.started = new boolean[request.completion().sequences()];
    }

    /// Adds the event's chunks to what [#take] returns.
    void event(CompletionEvent event) throws IOException {
        switch (event) {
            case CompletionEvent.Part part -> {
                start(part.choice());
                beginChunk();
                format.part(json, part, request);
                endChunk(null);
            }
            case CompletionEvent.Ended ended -> {
                start(ended.choice());
                beginChunk();
                format.ended(json, ended.choice(), ended.reason());
                endChunk(null);
            }
            case CompletionEvent.Done done -> {
                if (request.includeUsage()) {
                    beginChunk();
                    endChunk(done.usage());
                }
                json.writeRaw("data: [DONE]\n\n");
            }
        }
    }

    void error(HttpError error) throws IOException {
        json.writeRaw("data: ");
        error.write(json);
        json.writeRaw("\n\n");
    }

    /// @return what was written since the last call
    byte[] take() throws IOException {
        json.flush();
        byte[] taken = bytes.toByteArray();
        bytes.reset();
        return taken;
    }

    /// @param choices in order
    byte[] whole(List<WholeChoice> choices, Usage usage) throws IOException {
        json.writeStartObject();
        request.head().write(json, format.wholeObject());
        json.writeArrayFieldStart("choices");
        for (int choice = 0; choice < choices.size(); choice++) {
            format.whole(json, choice, choices.get(choice), request);
        }
        json.writeEndArray();
        usage(usage);
        json.writeEndObject();
        return take();
    }

    private void start(int choice) throws IOException {
        if (started[choice]) {
            return;
        }
        started[choice] = true;
        if (format.announces()) {
            beginChunk();
            format.announce(json, choice);
            endChunk(null);
        }
        if (!request.echoes().isEmpty()) {
            String echo = request.echoOf(choice).orElseThrow();
            beginChunk();
            format.part(json, new CompletionEvent.Delta(choice, echo, List.of()), request);
            endChunk(null);
        }
    }

    private void beginChunk() throws IOException {
        json.writeRaw("data: ");
        json.writeStartObject();
        request.head().write(json, format.chunkObject());
        json.writeArrayFieldStart("choices");
    }

    /// @param usage null in every chunk but the last
    private void endChunk(Usage usage) throws IOException {
        json.writeEndArray();
        if (usage != null) {
            usage(usage);
        } else if (request.includeUsage()) {
            json.writeNullField("usage");
        }
        json.writeEndObject();
        json.writeRaw("\n\n");
    }

    private void usage(Usage usage) throws IOException {
        json.writeObjectFieldStart("usage");
        json.writeNumberField("prompt_tokens", usage.prompt());
        json.writeNumberField("completion_tokens", usage.completion());
        json.writeNumberField("total_tokens", usage.total());
        json.writeObjectFieldStart("prompt_tokens_details");
        json.writeNumberField("cached_tokens", usage.cached());
        json.writeEndObject();
        json.writeEndObject();
    }
}
