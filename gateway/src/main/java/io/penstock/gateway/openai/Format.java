package io.penstock.gateway.openai;

import com.fasterxml.jackson.core.JsonGenerator;
import io.penstock.gateway.chat.CompletionEvent;
import io.penstock.gateway.chat.FinishReason;
import java.io.IOException;

/// One of the two routes that end in a completion: how its requests are read and its choices written. Choices are
/// written into an array `choices` that is open.
interface Format {
    /// Takes as long as its prompts' tokenisation.
    ///
    /// @throws io.penstock.model.PenstockException if it cannot be served
    OpenAiRequest read(Fields fields);

    /// The field `object` of a chunk, and of a whole answer.
    String chunkObject();

    String wholeObject();

    /// Whether a choice's first chunk says who speaks.
    boolean announces();

    void announce(JsonGenerator json, int choice) throws IOException;

    void part(JsonGenerator json, CompletionEvent.Part part, OpenAiRequest request) throws IOException;

    void ended(JsonGenerator json, int choice, FinishReason reason) throws IOException;

    /// A choice from its beginning to its end.
    void whole(JsonGenerator json, int choice, WholeChoice whole, OpenAiRequest request) throws IOException;
}
