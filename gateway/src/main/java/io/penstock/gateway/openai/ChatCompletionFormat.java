package io.penstock.gateway.openai;

import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.databind.JsonNode;
import io.penstock.gateway.catalogue.ModelCatalogue;
import io.penstock.gateway.catalogue.ServedModel;
import io.penstock.gateway.chat.Bounds;
import io.penstock.gateway.chat.ChatMessage;
import io.penstock.gateway.chat.CompletionEvent;
import io.penstock.gateway.chat.CompletionRequest;
import io.penstock.gateway.chat.FinishReason;
import io.penstock.gateway.chat.Json;
import io.penstock.gateway.chat.Prompts;
import io.penstock.gateway.chat.Reading;
import io.penstock.gateway.chat.RequestException;
import io.penstock.gateway.chat.TokenText;
import io.penstock.gateway.chat.ToolCalls;
import io.penstock.model.sampling.SamplingParameters;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;

/// `POST /v1/chat/completions`.
final class ChatCompletionFormat implements Format {
    /// DeepSeek's name for what a model thinks, which most clients know.
    private static final String REASONING = "reasoning_content";

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
        Prompts.Chat prompt = Prompts.chat(model, messages(fields, model), tools);
        AnswerHead head = AnswerHead.of("chatcmpl-", model);
        CompletionRequest completion = new CompletionRequest(
                head.id(),
                CompletionRequest.CHAT,
                model,
                List.of(prompt.tokens()),
                generation.choices(),
                generation.sampling(),
                generation.stops(),
                generation.stopTokenIds(),
                maxTokens,
                generation.minTokens(),
                topLogprobs,
                new Reading(model.text().answers(), prompt.insideThought(), !tools.isEmpty()));
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
                        "response_format",
                        "`response_format` may be `text`: output cannot be forced into a schema here.");
            }
        });
    }

    private static List<Object> tools(Fields fields) {
        List<JsonNode> elements = fields.list("tools", Bounds.MAX_TOOLS);
        boolean offered = fields.any("tool_choice")
                .map(choice -> {
                    if (!choice.isTextual()) {
                        throw ToolCalls.forced();
                    }
                    return ToolCalls.offered(choice.textValue());
                })
                .orElse(true);
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
            tools.add(Json.plain(elements.get(i), path));
        }
        return offered ? tools : List.of();
    }

    private static List<ChatMessage> messages(Fields fields, ServedModel model) {
        List<JsonNode> elements = fields.list("messages", Bounds.MAX_MESSAGES);
        if (elements.isEmpty()) {
            throw RequestException.bad("messages", "`messages` must hold at least one message.");
        }
        List<ChatMessage> messages = new ArrayList<>(elements.size());
        for (int i = 0; i < elements.size(); i++) {
            messages.add(message(new Fields(elements.get(i), "messages[%d]".formatted(i)), model));
        }
        return messages;
    }

    private static ChatMessage message(Fields fields, ServedModel model) {
        String path = fields.path("role");
        ChatMessage.Role role = ChatMessage.Role.named(fields.requiredText("role"))
                .orElseThrow(() -> RequestException.bad(
                        path, "`%s` must be `system`, `developer`, `user`, `assistant` or `tool`.", path));
        List<Object> toolCalls = new ArrayList<>();
        for (JsonNode call : fields.list("tool_calls", Bounds.MAX_TOOLS)) {
            if (!call.isObject()) {
                throw fields.wrongType("tool_calls", "an array of objects");
            }
            Object plain = Json.plain(call, fields.path("tool_calls"));
            ToolCalls.prepare(plain, model, fields.path("tool_calls"));
            toolCalls.add(plain);
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
    public void part(JsonGenerator json, CompletionEvent.Part part, OpenAiRequest request) throws IOException {
        json.writeStartObject();
        json.writeNumberField("index", part.choice());
        json.writeObjectFieldStart("delta");
        List<TokenText> tokens = List.of();
        switch (part) {
            case CompletionEvent.Delta delta -> {
                json.writeStringField("content", delta.text());
                tokens = delta.tokens();
            }
            case CompletionEvent.Thought thought -> json.writeStringField(REASONING, thought.text());
            case CompletionEvent.CallBegun begun -> {
                beginCallDelta(json, begun.call());
                callHead(json, begun.id(), begun.function());
                json.writeStringField("arguments", "");
                endCallDelta(json);
            }
            case CompletionEvent.CallArguments more -> {
                beginCallDelta(json, more.call());
                json.writeObjectFieldStart("function");
                json.writeStringField("arguments", more.json());
                endCallDelta(json);
            }
        }
        json.writeEndObject();
        if (part instanceof CompletionEvent.Delta) {
            logprobs(json, tokens, request);
        } else {
            json.writeNullField("logprobs");
        }
        json.writeNullField("finish_reason");
        json.writeEndObject();
    }

    private static void beginCallDelta(JsonGenerator json, int call) throws IOException {
        json.writeArrayFieldStart("tool_calls");
        json.writeStartObject();
        json.writeNumberField("index", call);
    }

    private static void callHead(JsonGenerator json, String id, String function) throws IOException {
        json.writeStringField("id", id);
        json.writeStringField("type", "function");
        json.writeObjectFieldStart("function");
        json.writeStringField("name", function);
    }

    private static void endCallDelta(JsonGenerator json) throws IOException {
        json.writeEndObject();
        json.writeEndObject();
        json.writeEndArray();
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
    public void whole(JsonGenerator json, int choice, WholeChoice whole, OpenAiRequest request) throws IOException {
        json.writeStartObject();
        json.writeNumberField("index", choice);
        json.writeObjectFieldStart("message");
        json.writeStringField("role", "assistant");
        if (whole.text().isEmpty() && !whole.calls().isEmpty()) {
            json.writeNullField("content");
        } else {
            json.writeStringField("content", whole.text());
        }
        json.writeNullField("refusal");
        if (!whole.thoughts().isEmpty()) {
            json.writeStringField(REASONING, whole.thoughts());
        }
        if (!whole.calls().isEmpty()) {
            calls(json, whole.calls());
        }
        json.writeEndObject();
        logprobs(json, whole.tokens(), request);
        json.writeStringField("finish_reason", whole.reason().text());
        json.writeEndObject();
    }

    private static void calls(JsonGenerator json, List<WholeChoice.Call> calls) throws IOException {
        json.writeArrayFieldStart("tool_calls");
        for (WholeChoice.Call call : calls) {
            json.writeStartObject();
            callHead(json, call.id(), call.function());
            json.writeStringField("arguments", call.arguments().toString());
            json.writeEndObject();
            json.writeEndObject();
        }
        json.writeEndArray();
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
