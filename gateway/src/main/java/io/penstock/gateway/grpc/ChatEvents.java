package io.penstock.gateway.grpc;

import com.google.protobuf.ByteString;
import io.penstock.api.chat.ChatDelta;
import io.penstock.api.chat.ChatEvent;
import io.penstock.api.chat.ChatFinished;
import io.penstock.api.chat.ChatUsage;
import io.penstock.api.chat.TextLogprob;
import io.penstock.api.chat.ToolCallDelta;
import io.penstock.gateway.chat.CompletionEvent;
import io.penstock.gateway.chat.CompletionRequest;
import io.penstock.gateway.chat.TokenText;

/// What a completion brings, as messages of `chat.proto`.
final class ChatEvents {
    private ChatEvents() {}

    static ChatEvent event(CompletionRequest request, CompletionEvent event) {
        ChatEvent.Builder message = ChatEvent.newBuilder()
                .setId(request.id())
                .setModel(request.model().name());
        switch (event) {
            case CompletionEvent.Delta delta -> {
                ChatDelta.Builder content =
                        message.getDeltaBuilder().setChoice(delta.choice()).setContent(delta.text());
                for (TokenText token : delta.tokens()) {
                    content.addLogprobs(logprob(token));
                }
            }
            case CompletionEvent.Thought thought ->
                message.getDeltaBuilder().setChoice(thought.choice()).setReasoning(thought.text());
            case CompletionEvent.CallBegun begun ->
                message.getDeltaBuilder()
                        .setChoice(begun.choice())
                        .addToolCalls(ToolCallDelta.newBuilder()
                                .setIndex(begun.call())
                                .setId(begun.id())
                                .setName(begun.function()));
            case CompletionEvent.CallArguments more ->
                message.getDeltaBuilder()
                        .setChoice(more.choice())
                        .addToolCalls(
                                ToolCallDelta.newBuilder().setIndex(more.call()).setArguments(more.json()));
            case CompletionEvent.Ended ended ->
                message.setFinished(ChatFinished.newBuilder()
                        .setChoice(ended.choice())
                        .setFinishReason(ended.reason().text()));
            case CompletionEvent.Done done ->
                message.setUsage(ChatUsage.newBuilder()
                        .setPromptTokens(done.usage().prompt())
                        .setCompletionTokens(done.usage().completion())
                        .setCachedPromptTokens(done.usage().cached()));
        }
        return message.build();
    }

    private static TextLogprob logprob(TokenText token) {
        TextLogprob.Builder logprob = TextLogprob.newBuilder()
                .setToken(token.text())
                .setRaw(ByteString.copyFrom(token.bytes()))
                .setLogprob(token.logprob());
        for (TokenText other : token.top()) {
            logprob.addTop(logprob(other));
        }
        return logprob.build();
    }
}
