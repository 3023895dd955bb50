package io.penstock.gateway.openai;

import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.databind.JsonNode;
import io.penstock.gateway.catalogue.ModelCatalogue;
import io.penstock.gateway.catalogue.ServedModel;
import io.penstock.gateway.chat.Bounds;
import io.penstock.gateway.chat.CompletionEvent;
import io.penstock.gateway.chat.CompletionRequest;
import io.penstock.gateway.chat.FinishReason;
import io.penstock.gateway.chat.Json;
import io.penstock.gateway.chat.Prompts;
import io.penstock.gateway.chat.Reading;
import io.penstock.gateway.chat.RequestException;
import io.penstock.gateway.chat.TokenText;
import io.penstock.model.sampling.SamplingParameters;
import io.penstock.model.tokenizer.TextDecoder;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.OptionalInt;
import java.util.Set;

/// `POST /v1/completions`.
final class TextCompletionFormat implements Format {
    private static final int DEFAULT_MAX_TOKENS = 16;
    private static final String OBJECT = "text_completion";

    private final ModelCatalogue models;

    TextCompletionFormat(ModelCatalogue models) {
        this.models = models;
    }

    /// A prompt and what it echoes as.
    private record Prompt(int[] tokens, String text) {}

    @Override
    public OpenAiRequest read(Fields fields) {
        ServedModel model = models.get(fields.requiredText("model"));
        GenerationFields generation = GenerationFields.read(fields, model);
        boolean echo = fields.flag("echo");
        OptionalInt maxTokens = GenerationFields.maxTokens(fields, 1, "max_tokens");
        OptionalInt logprobs = fields.integer("logprobs", 0, SamplingParameters.MAX_TOP_LOGPROBS);
        if (echo && logprobs.isPresent()) {
            throw RequestException.bad("logprobs", "`logprobs` of an echoed prompt are not supported.");
        }
        if (fields.text("suffix").orElse("").length() > 0) {
            throw RequestException.bad("suffix", "`suffix` is not supported.");
        }
        int bestOf = fields.integer("best_of", 1, Bounds.MAX_CHOICES).orElse(generation.choices());
        if (bestOf != generation.choices()) {
            throw RequestException.bad("best_of", "`best_of` other than `n` is not supported.");
        }
        List<Prompt> prompts = prompts(fields, model);
        if (prompts.size() * generation.choices() > Bounds.MAX_SEQUENCES) {
            throw RequestException.bad(
                    "prompt",
                    "%d prompts times %d choices exceed %d.",
                    prompts.size(),
                    generation.choices(),
                    Bounds.MAX_SEQUENCES);
        }
        AnswerHead head = AnswerHead.of("cmpl-", model);
        CompletionRequest completion = new CompletionRequest(
                head.id(),
                CompletionRequest.TEXT,
                model,
                prompts.stream().map(Prompt::tokens).toList(),
                generation.choices(),
                generation.sampling(),
                generation.stops(),
                generation.stopTokenIds(),
                OptionalInt.of(maxTokens.orElse(DEFAULT_MAX_TOKENS)),
                generation.minTokens(),
                logprobs,
                Reading.PLAIN);
        return new OpenAiRequest(
                completion,
                head,
                generation.stream(),
                generation.includeUsage(),
                echo ? prompts.stream().map(Prompt::text).toList() : List.of(),
                fields.flag("return_tokens_as_token_ids"));
    }

    private static List<Prompt> prompts(Fields fields, ServedModel model) {
        JsonNode prompt =
                fields.any("prompt").orElseThrow(() -> RequestException.bad("prompt", "`prompt` is missing."));
        if (prompt.isTextual()) {
            return List.of(text(prompt, model));
        }
        if (!prompt.isArray() || prompt.isEmpty()) {
            throw wrong();
        }
        if (prompt.get(0).isNumber()) {
            return List.of(tokens(prompt, model));
        }
        if (prompt.size() > Bounds.MAX_SEQUENCES) {
            throw RequestException.bad(
                    "prompt", "`prompt` has %d elements, at most %d are allowed.", prompt.size(), Bounds.MAX_SEQUENCES);
        }
        List<Prompt> prompts = new ArrayList<>(prompt.size());
        for (JsonNode element : prompt) {
            if (element.isTextual()) {
                prompts.add(text(element, model));
            } else if (element.isArray() && !element.isEmpty()) {
                prompts.add(tokens(element, model));
            } else {
                throw wrong();
            }
        }
        return prompts;
    }

    private static Prompt text(JsonNode prompt, ServedModel model) {
        String text = Json.text(prompt, "prompt");
        return new Prompt(Prompts.text(model, text), text);
    }

    private static Prompt tokens(JsonNode prompt, ServedModel model) {
        int vocabulary = model.tokenizer().vocabularySize();
        int[] tokens = new int[prompt.size()];
        TextDecoder decoder = model.tokenizer().decoder();
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < tokens.length; i++) {
            JsonNode id = prompt.get(i);
            if (!id.isIntegralNumber()) {
                throw wrong();
            }
            if (!id.canConvertToInt() || id.intValue() < 0 || id.intValue() >= vocabulary) {
                throw RequestException.bad(
                        "prompt", "`prompt` names token %s, the vocabulary has %d.", id.asText(), vocabulary);
            }
            tokens[i] = id.intValue();
            text.append(decoder.append(tokens[i]));
        }
        return new Prompt(tokens, text.append(decoder.finish()).toString());
    }

    private static RequestException wrong() {
        return RequestException.bad(
                "prompt", "`prompt` must be a string, an array of strings, of token ids or of arrays of token ids.");
    }

    @Override
    public String chunkObject() {
        return OBJECT;
    }

    @Override
    public String wholeObject() {
        return OBJECT;
    }

    @Override
    public boolean announces() {
        return false;
    }

    @Override
    public void announce(JsonGenerator json, int choice) {
        throw new IllegalStateException("a text has no speaker");
    }

    @Override
    public void part(JsonGenerator json, CompletionEvent.Part part, OpenAiRequest request) throws IOException {
        if (!(part instanceof CompletionEvent.Delta delta)) {
            throw new IllegalStateException("a text has no " + part);
        }
        choice(json, delta.choice(), delta.text(), delta.tokens(), null, request);
    }

    @Override
    public void ended(JsonGenerator json, int choice, FinishReason reason) throws IOException {
        json.writeStartObject();
        json.writeNumberField("index", choice);
        json.writeStringField("text", "");
        json.writeNullField("logprobs");
        json.writeStringField("finish_reason", reason.text());
        json.writeEndObject();
    }

    @Override
    public void whole(JsonGenerator json, int choice, WholeChoice whole, OpenAiRequest request) throws IOException {
        String text = request.echoOf(choice).orElse("") + whole.text();
        choice(json, choice, text, whole.tokens(), whole.reason().text(), request);
    }

    private static void choice(
            JsonGenerator json, int choice, String text, List<TokenText> tokens, String reason, OpenAiRequest request)
            throws IOException {
        json.writeStartObject();
        json.writeNumberField("index", choice);
        json.writeStringField("text", text);
        if (request.completion().topLogprobs().isEmpty()) {
            json.writeNullField("logprobs");
        } else {
            logprobs(json, tokens, request.tokensAsIds());
        }
        json.writeStringField("finish_reason", reason);
        json.writeEndObject();
    }

    private static void logprobs(JsonGenerator json, List<TokenText> tokens, boolean asIds) throws IOException {
        json.writeObjectFieldStart("logprobs");
        json.writeArrayFieldStart("tokens");
        for (TokenText token : tokens) {
            json.writeString(spell(token, asIds));
        }
        json.writeEndArray();
        json.writeArrayFieldStart("token_logprobs");
        for (TokenText token : tokens) {
            json.writeNumber(token.logprob());
        }
        json.writeEndArray();
        json.writeArrayFieldStart("top_logprobs");
        Set<String> written = new HashSet<>();
        for (TokenText token : tokens) {
            written.clear();
            json.writeStartObject();
            for (TokenText other : token.top()) {
                top(json, other, asIds, written);
            }
            // The token itself is always among them.
            top(json, token, asIds, written);
            json.writeEndObject();
        }
        json.writeEndArray();
        json.writeArrayFieldStart("text_offset");
        for (TokenText token : tokens) {
            json.writeNumber(token.offset());
        }
        json.writeEndArray();
        json.writeEndObject();
    }

    /// Pieces of characters share a spelling; the likeliest keeps it.
    private static void top(JsonGenerator json, TokenText token, boolean asIds, Set<String> written)
            throws IOException {
        String text = spell(token, asIds);
        if (written.add(text)) {
            json.writeNumberField(text, token.logprob());
        }
    }

    private static String spell(TokenText token, boolean asId) {
        return asId ? "token_id:" + token.id() : token.text();
    }
}
