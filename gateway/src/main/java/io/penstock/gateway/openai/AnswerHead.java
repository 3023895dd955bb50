package io.penstock.gateway.openai;

import com.fasterxml.jackson.core.JsonGenerator;
import io.penstock.gateway.catalogue.ServedModel;
import java.io.IOException;
import java.time.Instant;
import java.util.UUID;

/// The fields that are the same in every chunk of an answer.
///
/// @param created seconds since 1970
/// @param fingerprint changes when the model's bytes do
record AnswerHead(String id, long created, String model, String fingerprint) {
    private static final int REVISION_LENGTH = 12;

    /// @param prefix of the id: `chatcmpl-`, `cmpl-`
    static AnswerHead of(String prefix, ServedModel model) {
        String revision = model.revision();
        return new AnswerHead(
                prefix + UUID.randomUUID().toString().replace("-", ""),
                Instant.now().getEpochSecond(),
                model.name(),
                "penstock-" + revision.substring(Math.max(0, revision.length() - REVISION_LENGTH)));
    }

    void write(JsonGenerator json, String object) throws IOException {
        json.writeStringField("id", id);
        json.writeStringField("object", object);
        json.writeNumberField("created", created);
        json.writeStringField("model", model);
        json.writeStringField("system_fingerprint", fingerprint);
    }
}
