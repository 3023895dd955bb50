package io.penstock.gateway.openai;

import io.penstock.gateway.chat.Completion;
import io.penstock.gateway.chat.CompletionEvent;
import io.penstock.gateway.chat.FinishReason;
import io.penstock.gateway.chat.TokenText;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// Collects an answer that is sent once it is complete.
final class WholeAnswer {
    private static final Duration PATIENCE = Duration.ofMinutes(1);

    private WholeAnswer() {}

    /// Takes as long as the generation.
    ///
    /// @throws io.penstock.model.PenstockException if that fails
    /// @throws java.util.concurrent.CancellationException if its reader is gone
    static byte[] of(Completion running, AnswerWriter writer) throws IOException, InterruptedException {
        int count = running.request().sequences();
        List<StringBuilder> texts = new ArrayList<>(count);
        List<List<TokenText>> tokens = new ArrayList<>(count);
        FinishReason[] reasons = new FinishReason[count];
        for (int choice = 0; choice < count; choice++) {
            texts.add(new StringBuilder());
            tokens.add(new ArrayList<>());
        }
        while (true) {
            Optional<CompletionEvent> next = running.next(PATIENCE);
            if (next.isEmpty()) {
                continue;
            }
            switch (next.get()) {
                case CompletionEvent.Delta delta -> {
                    texts.get(delta.choice()).append(delta.text());
                    tokens.get(delta.choice()).addAll(delta.tokens());
                }
                case CompletionEvent.Ended ended -> reasons[ended.choice()] = ended.reason();
                case CompletionEvent.Done done -> {
                    List<WholeChoice> choices = new ArrayList<>(count);
                    for (int choice = 0; choice < count; choice++) {
                        choices.add(new WholeChoice(texts.get(choice).toString(), tokens.get(choice), reasons[choice]));
                    }
                    return writer.whole(choices, done.usage());
                }
            }
        }
    }
}
