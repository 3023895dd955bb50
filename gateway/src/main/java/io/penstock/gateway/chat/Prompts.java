package io.penstock.gateway.chat;

import io.penstock.gateway.catalogue.ServedModel;
import io.penstock.model.ErrorCategory;
import io.penstock.model.template.ChatTemplate;
import io.penstock.model.tokenizer.PromptText;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;

/// Turns what a client sends into prompt tokens. May take a while: not for an event loop.
public final class Prompts {
    private Prompts() {}

    /// A prompt for an answer in a conversation.
    ///
    /// @param insideThought whether it ends where the model's thoughts begin
    public record Chat(int[] tokens, boolean insideThought) {}

    /// @param tools as the API has them; empty: none
    public static Chat chat(ServedModel model, List<ChatMessage> messages, List<Object> tools) {
        long length = 0;
        for (ChatMessage message : messages) {
            length += message.content().length();
        }
        checkLength(model, length, "messages");
        ChatTemplate template = model.template()
                .orElseThrow(() -> RequestException.bad(
                        "model", "The model `%s` has no chat template; it can complete text only.", model.name()));
        Map<String, Object> variables = new HashMap<>(model.text().tokens());
        variables.put("messages", messages.stream().map(ChatMessage::variables).toList());
        variables.put("add_generation_prompt", true);
        if (!tools.isEmpty()) {
            variables.put("tools", tools);
        }
        PromptText prompt = template.render(variables);
        return new Chat(model.tokenizer().encode(prompt), model.text().answers().opensReasoning(prompt.text()));
    }

    /// A text to be continued, behind the token that texts start with, if the model wants one.
    public static int[] text(ServedModel model, String text) {
        checkLength(model, text.length(), "prompt");
        int[] tokens = model.tokenizer().encode(PromptText.untrusted(text));
        OptionalInt begin = model.tokenizer().beginOfSequence();
        if (begin.isEmpty()) {
            return tokens;
        }
        int[] whole = new int[tokens.length + 1];
        whole[0] = begin.getAsInt();
        System.arraycopy(tokens, 0, whole, 1, tokens.length);
        return whole;
    }

    // A character is at least a byte, so what is refused here could not fit however it were tokenised.
    private static void checkLength(ServedModel model, long characters, String parameter) {
        if (characters > (long) model.contextLength() * model.longestToken()) {
            throw new RequestException(
                    ErrorCategory.BAD_INPUT,
                    parameter,
                    "context_length_exceeded",
                    "This model's maximum context length is %d tokens, %d characters cannot fit it.",
                    model.contextLength(),
                    characters);
        }
    }
}
