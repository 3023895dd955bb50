package io.penstock.gateway.grpc;

import com.fasterxml.jackson.databind.JsonNode;
import io.penstock.api.chat.ChatRequest;
import io.penstock.api.chat.Tool;
import io.penstock.api.chat.ToolCall;
import io.penstock.gateway.catalogue.ModelCatalogue;
import io.penstock.gateway.catalogue.ServedModel;
import io.penstock.gateway.chat.Bounds;
import io.penstock.gateway.chat.ChatMessage;
import io.penstock.gateway.chat.CompletionRequest;
import io.penstock.gateway.chat.Json;
import io.penstock.gateway.chat.Prompts;
import io.penstock.gateway.chat.Reading;
import io.penstock.gateway.chat.RequestException;
import io.penstock.gateway.chat.ToolCalls;
import io.penstock.model.sampling.SamplingParameters;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ThreadLocalRandom;

/// Makes a completion of a request of `chat.proto`. Absent fields mean what they mean to the REST API.
final class ChatMessages {
    private ChatMessages() {}

    /// What the trees of the JSON in a request may take.
    ///
    /// @return bytes
    static long weight(ChatRequest request) {
        long weight = 0;
        for (Tool tool : request.getToolsList()) {
            weight += Json.weight(tool.getParametersBytes().toByteArray());
        }
        for (io.penstock.api.chat.ChatMessage message : request.getMessagesList()) {
            for (ToolCall call : message.getToolCallsList()) {
                weight += Json.weight(call.getArgumentsBytes().toByteArray());
            }
        }
        return weight;
    }

    /// Takes as long as the prompt's tokenisation.
    ///
    /// @throws io.penstock.model.PenstockException if it cannot be served
    static CompletionRequest read(ChatRequest request, ModelCatalogue models) {
        ServedModel model = models.get(request.getModel());
        int choices = within("n", request.hasN() ? request.getN() : 1, 1, Bounds.MAX_CHOICES);
        within("stop", request.getStopCount(), 0, Bounds.MAX_STOPS);
        for (String stop : request.getStopList()) {
            within("length of a stop text", stop.length(), 1, Bounds.MAX_STOP_LENGTH);
        }
        SamplingParameters sampling = sampling(request);
        OptionalInt maxTokens = request.hasMaxTokens()
                ? OptionalInt.of(within("max_tokens", request.getMaxTokens(), 1, Integer.MAX_VALUE))
                : OptionalInt.empty();
        OptionalInt topLogprobs = request.hasTopLogprobs()
                ? OptionalInt.of(
                        within("top_logprobs", request.getTopLogprobs(), 0, SamplingParameters.MAX_TOP_LOGPROBS))
                : OptionalInt.empty();
        List<Object> tools = tools(request);
        Prompts.Chat prompt = Prompts.chat(model, messages(request, model), tools);
        return new CompletionRequest(
                "chat-" + UUID.randomUUID(),
                CompletionRequest.CHAT,
                model,
                List.of(prompt.tokens()),
                choices,
                sampling,
                request.getStopList(),
                stopTokenIds(request, model),
                maxTokens,
                within("min_tokens", request.hasMinTokens() ? request.getMinTokens() : 0, 0, Integer.MAX_VALUE),
                topLogprobs,
                new Reading(model.text().answers(), prompt.insideThought(), !tools.isEmpty()));
    }

    private static SamplingParameters sampling(ChatRequest request) {
        return new SamplingParameters(
                request.hasTemperature() ? request.getTemperature() : 1,
                request.hasTopP() ? request.getTopP() : 1,
                request.hasTopK() ? request.getTopK() : 0,
                request.hasMinP() ? request.getMinP() : 0,
                request.hasRepetitionPenalty() ? request.getRepetitionPenalty() : 1,
                request.hasFrequencyPenalty() ? request.getFrequencyPenalty() : 0,
                request.hasPresencePenalty() ? request.getPresencePenalty() : 0,
                request.getLogitBiasMap(),
                request.hasSeed()
                        ? request.getSeed()
                        : ThreadLocalRandom.current().nextLong());
    }

    private static Set<Integer> stopTokenIds(ChatRequest request, ServedModel model) {
        within("stop_token_ids", request.getStopTokenIdsCount(), 0, Bounds.MAX_STOP_TOKEN_IDS);
        Set<Integer> ids = new HashSet<>(request.getStopTokenIdsList());
        if (!request.getIgnoreEos()) {
            ids.addAll(model.tokenizer().endOfSequence());
        }
        return ids;
    }

    private static List<Object> tools(ChatRequest request) {
        within("tools", request.getToolsCount(), 0, Bounds.MAX_TOOLS);
        List<Object> tools = new ArrayList<>(request.getToolsCount());
        for (int i = 0; i < request.getToolsCount(); i++) {
            tools.add(tool(request.getTools(i), "tools[%d]".formatted(i)));
        }
        return !request.hasToolChoice() || ToolCalls.offered(request.getToolChoice()) ? tools : List.of();
    }

    /// As the REST API has it, which is what templates know.
    private static Object tool(Tool tool, String path) {
        if (tool.getName().isEmpty()) {
            throw RequestException.bad(path, "`%s` has no name.", path);
        }
        Map<String, Object> function = new LinkedHashMap<>();
        function.put("name", tool.getName());
        if (!tool.getDescription().isEmpty()) {
            function.put("description", tool.getDescription());
        }
        if (!tool.getParameters().isEmpty()) {
            function.put("parameters", schema(tool.getParameters(), path));
        }
        Map<String, Object> plain = new LinkedHashMap<>();
        plain.put("type", "function");
        plain.put("function", function);
        return plain;
    }

    private static Object schema(String parameters, String path) {
        JsonNode schema;
        try {
            schema = Json.parse(parameters.getBytes(StandardCharsets.UTF_8));
        } catch (RequestException e) {
            throw RequestException.bad(path, "The parameters of `%s` are no JSON.", path);
        }
        if (!schema.isObject()) {
            throw RequestException.bad(path, "The parameters of `%s` must be a JSON object.", path);
        }
        return Json.plain(schema, path);
    }

    private static List<ChatMessage> messages(ChatRequest request, ServedModel model) {
        within("messages", request.getMessagesCount(), 1, Bounds.MAX_MESSAGES);
        List<ChatMessage> messages = new ArrayList<>(request.getMessagesCount());
        for (int i = 0; i < request.getMessagesCount(); i++) {
            io.penstock.api.chat.ChatMessage message = request.getMessages(i);
            ChatMessage.Role role = ChatMessage.Role.named(message.getRole())
                    .orElseThrow(() -> RequestException.bad(
                            "messages", "a role must be system, developer, user, assistant or tool"));
            messages.add(new ChatMessage(
                    role,
                    message.getContent(),
                    set(message.getName()),
                    calls(message, model, "messages[%d].tool_calls".formatted(i)),
                    set(message.getToolCallId())));
        }
        return messages;
    }

    private static Optional<String> set(String text) {
        return Optional.of(text).filter(set -> !set.isEmpty());
    }

    private static List<Object> calls(io.penstock.api.chat.ChatMessage message, ServedModel model, String path) {
        within("tool_calls", message.getToolCallsCount(), 0, Bounds.MAX_TOOLS);
        List<Object> calls = new ArrayList<>(message.getToolCallsCount());
        for (ToolCall call : message.getToolCallsList()) {
            Map<String, Object> function = new LinkedHashMap<>();
            function.put("name", call.getName());
            function.put("arguments", call.getArguments());
            Map<String, Object> plain = new LinkedHashMap<>();
            plain.put("id", call.getId());
            plain.put("type", "function");
            plain.put("function", function);
            ToolCalls.prepare(plain, model, path);
            calls.add(plain);
        }
        return calls;
    }

    private static int within(String what, int value, int least, int most) {
        if (value < least || value > most) {
            throw RequestException.bad(what, "%s is %d, must lie in [%d, %d]", what, value, least, most);
        }
        return value;
    }
}
