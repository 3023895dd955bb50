package io.penstock.gateway.openai;

import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.databind.JsonNode;
import io.penstock.gateway.catalogue.ModelCatalogue;
import io.penstock.gateway.catalogue.ServedModel;
import io.penstock.gateway.chat.Bounds;
import io.penstock.gateway.chat.ChatMessage;
import io.penstock.gateway.chat.CompletionRequest;
import io.penstock.gateway.chat.FinishReason;
import io.penstock.gateway.chat.Prompts;
import io.penstock.gateway.chat.RequestException;
import io.penstock.gateway.chat.TokenText;
import io.penstock.model.sampling.SamplingParameters;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;

/// `POST /v1/chat/completions`.
final class ChatCompletionFormat implements Format {
    private final ModelCatalogue models;

    ChatCompletionFormat(ModelCatalogue models) {
        this.models = models;
    }

    @Override
    public OpenAiRequest read(Fields fields) {
        ServedModel model = models.get(fields.requiredText("model"));
        GenerationFields generation = GenerationFields.read(fields, model);
        OptionalInt maxTokens = GenerationFields.maxTokens(fields, 1, "max_tokens", "max_completion_tokens");
        OptionalInt topLogprobs = topLogprobs(fields);
        refuseUnsupported(fields);
        List<Object> tools = tools(fields);
        int[] prompt = Prompts.chat(model, messages(fields), tools);
        AnswerHead head = AnswerHead.of("chatcmpl-", model);
        CompletionRequest completion = new CompletionRequest(
                head.id(),
                CompletionRequest.CHAT,
                model,
                List.of(prompt),
                generation.choices(),
                generation.sampling(),
                generation.stops(),
                generation.stopTokenIds(),
                maxTokens,
                generation.minTokens(),
                topLogprobs);
        return new OpenAiRequest(
                completion,
                head,
                generation.stream(),
                generation.includeUsage(),
                List.of(),
                fields.flag("return_tokens_as_token_ids"));
    }

    private static OptionalInt topLogprobs(Fields fields) {
        boolean wanted = fields.flag("logprobs");
        OptionalInt top = fields.integer("top_logprobs", 0, SamplingParameters.MAX_TOP_LOGPROBS);
        if (!wanted && top.orElse(0) > 0) {
            throw RequestException.bad("top_logprobs", "`top_logprobs` is for `logprobs: true` only.");
        }
        return wanted ? OptionalInt.of(top.orElse(0)) : OptionalInt.empty();
    }

    private static void refuseUnsupported(Fields fields) {
        fields.object("response_format").ifPresent(format -> {
            String type = format.requiredText("type");
            if (!type.equals("text")) {
                throw RequestException.bad(
                        "response_format", "`response_format` of type `text` is supported, no other.");
            }
        });
        fields.any("tool_choice").ifPresent(choice -> {
            boolean free = choice.isTextual()
                    && (choice.textValue().equals("auto") || choice.textValue().equals("none"));
            if (!free) {
                throw RequestException.bad("tool_choice", "`tool_choice` may be `auto` or `none`, no other.");
            }
        });
    }

    private static List<Object> tools(Fields fields) {
        List<JsonNode> elements = fields.list("tools", Bounds.MAX_TOOLS);
        Optional<JsonNode> choice = fields.any("tool_choice");
        List<Object> tools = new ArrayList<>();
        for (int i = 0; i < elements.size(); i++) {
            String path = "tools[%d]".formatted(i);
            Fields tool = new Fields(elements.get(i), path);
            if (!tool.requiredText("type").equals("function")) {
                throw RequestException.bad(tool.path("type"), "`%s` must be `function`.", tool.path("type"));
            }
            tool.object("function")
                    .orElseThrow(() ->
                            RequestException.bad(tool.path("function"), "`%s` is missing.", tool.path("function")))
                    .requiredText("name");
            tools.add(Fields.plain(elements.get(i), path));
        }
        return choice.isPresent() && choice.get().textValue().equals("none") ? List.of() : tools;
    }

    private static List<ChatMessage> messages(Fields fields) {
        List<JsonNode> elements = fields.list("messages", Bounds.MAX_MESSAGES);
        if (elements.isEmpty()) {
            throw RequestException.bad("messages", "`messages` must hold at least one message.");
        }
        List<ChatMessage> messages = new ArrayList<>(elements.size());
        for (int i = 0; i < elements.size(); i++) {
            messages.add(message(new Fields(elements.get(i), "messages[%d]".formatted(i))));
        }
        return messages;
    }

    private static ChatMessage message(Fields fields) {
        String path = fields.path("role");
        ChatMessage.Role role = ChatMessage.Role.named(fields.requiredText("role"))
                .orElseThrow(() -> RequestException.bad(
                        path, "`%s` must be `system`, `developer`, `user`, `assistant` or `tool`.", path));
        List<Object> toolCalls = new ArrayList<>();
        for (JsonNode call : fields.list("tool_calls", Bounds.MAX_TOOLS)) {
            if (!call.isObject()) {
                throw fields.wrongType("tool_calls", "an array of objects");
            }
            toolCalls.add(Fields.plain(call, fields.path("tool_calls")));
        }
        Optional<String> content = content(fields);
        // An assistant that called a tool may have said nothing.
        if (content.isEmpty() && (role != ChatMessage.Role.ASSISTANT || toolCalls.isEmpty())) {
            throw RequestException.bad(fields.path("content"), "`%s` is missing.", fields.path("content"));
        }
        return new ChatMessage(role, content.orElse(""), fields.text("name"), toolCalls, fields.text("tool_call_id"));
    }

    private static Optional<String> content(Fields fields) {
        Optional<JsonNode> content = fields.any("content");
        if (content.isEmpty() || content.get().isTextual()) {
            return fields.text("content");
        }
        if (!content.get().isArray()) {
            throw fields.wrongType("content", "a string or an array of parts");
        }
        StringBuilder text = new StringBuilder();
        for (JsonNode element : content.get()) {
            Fields part = new Fields(element, fields.path("content"));
            String type = part.requiredText("type");
            if (!type.equals("text")) {
                throw RequestException.bad(
                        fields.path("content"), "`%s` holds a part that is not text.", fields.path("content"));
            }
            text.append(part.requiredText("text"));
        }
        return Optional.of(text.toString());
    }

    @Override
    public String chunkObject() {
        return "chat.completion.chunk";
    }

    @Override
    public String wholeObject() {
        return "chat.completion";
    }

    @Override
    public boolean announces() {
        return true;
    }

    @Override
    public void announce(JsonGenerator json, int choice) throws IOException {
        json.writeStartObject();
        json.writeNumberField("index", choice);
        json.writeObjectFieldStart("delta");
        json.writeStringField("role", "assistant");
        json.writeStringField("content", "");
        json.writeEndObject();
        json.writeNullField("logprobs");
        json.writeNullField("finish_reason");
        json.writeEndObject();
    }

    @Override
    public void delta(JsonGenerator json, int choice, String text, List<TokenText> tokens, OpenAiRequest request)
            throws IOException {
        json.writeStartObject();
        json.writeNumberField("index", choice);
        json.writeObjectFieldStart("delta");
        json.writeStringField("content", text);
        json.writeEndObject();
        logprobs(json, tokens, request);
        json.writeNullField("finish_reason");
        json.writeEndObject();
    }

    @Override
    public void ended(JsonGenerator json, int choice, FinishReason reason) throws IOException {
        json.writeStartObject();
        json.writeNumberField("index", choice);
        json.writeObjectFieldStart("delta");
        json.writeEndObject();
        json.writeNullField("logprobs");
        json.writeStringField("finish_reason", reason.text());
        json.writeEndObject();
    }

    @Override
    public void whole(
            JsonGenerator json,
            int choice,
            String text,
            List<TokenText> tokens,
            FinishReason reason,
            OpenAiRequest request)
            throws IOException {
        json.writeStartObject();
        json.writeNumberField("index", choice);
        json.writeObjectFieldStart("message");
        json.writeStringField("role", "assistant");
        json.writeStringField("content", text);
        json.writeNullField("refusal");
        json.writeEndObject();
        logprobs(json, tokens, request);
        json.writeStringField("finish_reason", reason.text());
        json.writeEndObject();
    }

    private static void logprobs(JsonGenerator json, List<TokenText> tokens, OpenAiRequest request) throws IOException {
        if (request.completion().topLogprobs().isEmpty()) {
            json.writeNullField("logprobs");
            return;
        }
        json.writeObjectFieldStart("logprobs");
        json.writeArrayFieldStart("content");
        for (TokenText token : tokens) {
            json.writeStartObject();
            token(json, token, request.tokensAsIds());
            json.writeArrayFieldStart("top_logprobs");
            for (TokenText other : token.top()) {
                json.writeStartObject();
                token(json, other, request.tokensAsIds());
                json.writeEndObject();
            }
            json.writeEndArray();
            json.writeEndObject();
        }
        json.writeEndArray();
        json.writeNullField("refusal");
        json.writeEndObject();
    }

    private static void token(JsonGenerator json, TokenText token, boolean asId) throws IOException {
        json.writeStringField("token", asId ? "token_id:" + token.id() : token.text());
        json.writeNumberField("logprob", token.logprob());
        json.writeArrayFieldStart("bytes");
        for (byte b : token.bytes()) {
            json.writeNumber(Byte.toUnsignedInt(b));
        }
        json.writeEndArray();
    }
}
