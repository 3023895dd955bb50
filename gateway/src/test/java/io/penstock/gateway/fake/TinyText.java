package io.penstock.gateway.fake;

import io.penstock.gateway.catalogue.TextSource;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.answer.AnswerFormat;
import io.penstock.model.checkpoint.CheckpointException;
import io.penstock.model.template.ChatFormat;
import io.penstock.model.template.ChatTemplate;
import io.penstock.model.tokenizer.PromptText;
import jakarta.annotation.Priority;
import jakarta.enterprise.context.ApplicationScoped;
import jakarta.enterprise.inject.Alternative;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// Text for every model of a [FakeScheduler]: [TinyTokenizer], and a template that writes `<|role|>content<|end|>`.
@Alternative
@Priority(1)
@ApplicationScoped
public class TinyText implements TextSource {
    /// A model that completes and cannot chat.
    public static final String NO_CHAT = "plain";

    /// A model that thinks before it answers, and calls functions as Hermes does.
    public static final String THINKER = "thinker";

    /// A model without a tokenizer.
    public static final String TEXTLESS = "textless";

    @Override
    public ChatFormat read(String model, String revision) {
        if (model.equals(TEXTLESS)) {
            throw new CheckpointException(Path.of("tokenizer.json"), "file", "is missing");
        }
        return new ChatFormat(
                new TinyTokenizer(),
                model.equals(NO_CHAT) ? Optional.empty() : Optional.of(template()),
                Map.of("eos_token", "<|end|>"),
                model.equals(THINKER) ? new AnswerFormat(true, AnswerFormat.Calls.HERMES) : AnswerFormat.PLAIN);
    }

    private static ChatTemplate template() {
        return variables -> {
            List<PromptText.Piece> pieces = new ArrayList<>();
            if (variables.get("tools") != null) {
                pieces.add(new PromptText.Piece("tools:" + variables.get("tools"), false));
            }
            for (Object element : (List<?>) variables.get("messages")) {
                Map<?, ?> message = (Map<?, ?>) element;
                if ("raise".equals(message.get("name"))) {
                    throw new PenstockException(ErrorCategory.BAD_INPUT, "roles must alternate");
                }
                pieces.add(new PromptText.Piece("<|" + message.get("role") + "|>", true));
                pieces.add(new PromptText.Piece((String) message.get("content"), false));
                if (message.get("tool_calls") != null) {
                    pieces.add(new PromptText.Piece(message.get("tool_calls").toString(), false));
                }
                pieces.add(new PromptText.Piece(variables.get("eos_token").toString(), true));
            }
            pieces.add(new PromptText.Piece("<|assistant|>", true));
            return new PromptText(pieces);
        };
    }
}
