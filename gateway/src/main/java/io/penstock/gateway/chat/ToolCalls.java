package io.penstock.gateway.chat;

import com.fasterxml.jackson.databind.JsonNode;
import io.penstock.gateway.catalogue.ServedModel;
import io.penstock.model.answer.AnswerFormat;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/// What protocols share about functions that a model may call.
public final class ToolCalls {
    private ToolCalls() {}

    /// @param choice as the APIs spell it
    /// @return whether functions are offered
    /// @throws RequestException if the model would have to be forced
    public static boolean offered(String choice) {
        return switch (choice) {
            case "auto" -> true;
            case "none" -> false;
            // Text from outside.
            default -> throw forced();
        };
    }

    public static RequestException forced() {
        return RequestException.bad(
                "tool_choice", "`tool_choice` may be `auto` or `none`: a model cannot be forced to call here.");
    }

    /// Makes a call of an earlier answer what the model's template wants: the API has arguments as a string, most
    /// templates write them as JSON, and so want what it says.
    ///
    /// @param call as the API has it, made by [Json#plain]; changed
    /// @param path of the call in the request, for complaints
    public static void prepare(Object call, ServedModel model, String path) {
        if (model.text().answers().calls() == AnswerFormat.Calls.DEEPSEEK) {
            return;
        }
        if (call instanceof Map<?, ?> outer && outer.get("function") instanceof Map<?, ?> function) {
            @SuppressWarnings("unchecked") // Made by Json#plain.
            Map<String, Object> writable = (Map<String, Object>) function;
            if (writable.get("arguments") instanceof String text && !text.isBlank()) {
                JsonNode arguments;
                try {
                    arguments = Json.parse(text.getBytes(StandardCharsets.UTF_8));
                } catch (RequestException e) {
                    throw RequestException.bad(path, "`%s` holds arguments that are no JSON.", path);
                }
                writable.put("arguments", Json.plain(arguments, path));
            }
        }
    }
}
