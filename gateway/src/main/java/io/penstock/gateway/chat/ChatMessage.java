package io.penstock.gateway.chat;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// One message of a conversation.
///
/// @param toolCalls as the API has them: maps, lists, strings, numbers, booleans and nulls
public record ChatMessage(
        Role role, String content, Optional<String> name, List<Object> toolCalls, Optional<String> toolCallId) {

    public enum Role {
        SYSTEM,
        USER,
        ASSISTANT,
        TOOL;

        /// @param name as the APIs spell it; `developer` is what newer ones call `system`
        public static Optional<Role> named(String name) {
            return switch (name) {
                case "system", "developer" -> Optional.of(SYSTEM);
                case "user" -> Optional.of(USER);
                case "assistant" -> Optional.of(ASSISTANT);
                case "tool" -> Optional.of(TOOL);
                // Text from outside.
                default -> Optional.empty();
            };
        }

        String text() {
            return switch (this) {
                case SYSTEM -> "system";
                case USER -> "user";
                case ASSISTANT -> "assistant";
                case TOOL -> "tool";
            };
        }
    }

    public ChatMessage {
        toolCalls = List.copyOf(toolCalls);
    }

    /// As chat templates know a message.
    Map<String, Object> variables() {
        Map<String, Object> variables = new HashMap<>();
        variables.put("role", role.text());
        variables.put("content", content);
        name.ifPresent(text -> variables.put("name", text));
        toolCallId.ifPresent(text -> variables.put("tool_call_id", text));
        if (!toolCalls.isEmpty()) {
            variables.put("tool_calls", toolCalls);
        }
        return variables;
    }
}
