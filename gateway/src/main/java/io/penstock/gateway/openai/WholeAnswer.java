package io.penstock.gateway.openai;

import io.penstock.gateway.chat.Completion;
import io.penstock.gateway.chat.CompletionEvent;
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
        List<WholeChoice> choices = new ArrayList<>();
        for (int choice = 0; choice < running.request().sequences(); choice++) {
            choices.add(new WholeChoice());
        }
        while (true) {
            Optional<CompletionEvent> next = running.next(PATIENCE);
            if (next.isEmpty()) {
                continue;
            }
            switch (next.get()) {
                case CompletionEvent.Part part -> choices.get(part.choice()).add(part);
                case CompletionEvent.Ended ended -> choices.get(ended.choice()).end(ended.reason());
                case CompletionEvent.Done done -> {
                    return writer.whole(choices, done.usage());
                }
            }
        }
    }
}
