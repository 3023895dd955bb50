package io.penstock.gateway.grpc;

import com.google.protobuf.ByteString;
import io.penstock.api.chat.ChatDelta;
import io.penstock.api.chat.ChatEvent;
import io.penstock.api.chat.ChatFinished;
import io.penstock.api.chat.ChatRequest;
import io.penstock.api.chat.ChatUsage;
import io.penstock.api.chat.TextLogprob;
import io.penstock.gateway.catalogue.ModelCatalogue;
import io.penstock.gateway.catalogue.ServedModel;
import io.penstock.gateway.chat.Bounds;
import io.penstock.gateway.chat.ChatMessage;
import io.penstock.gateway.chat.CompletionEvent;
import io.penstock.gateway.chat.CompletionRequest;
import io.penstock.gateway.chat.Prompts;
import io.penstock.gateway.chat.Reading;
import io.penstock.gateway.chat.RequestException;
import io.penstock.gateway.chat.TokenText;
import io.penstock.model.sampling.SamplingParameters;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ThreadLocalRandom;

/// Between the messages of `chat.proto` and a completion. Absent fields mean what they mean to the REST API.
final class ChatMessages {
    private ChatMessages() {}

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
        return new CompletionRequest(
                "chat-" + UUID.randomUUID(),
                CompletionRequest.CHAT,
                model,
                List.of(Prompts.chat(model, messages(request), List.of()).tokens()),
                choices,
                sampling,
                request.getStopList(),
                request.getIgnoreEos() ? Set.of() : model.tokenizer().endOfSequence(),
                maxTokens,
                within("min_tokens", request.hasMinTokens() ? request.getMinTokens() : 0, 0, Integer.MAX_VALUE),
                topLogprobs,
                Reading.PLAIN);
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

    private static List<ChatMessage> messages(ChatRequest request) {
        within("messages", request.getMessagesCount(), 1, Bounds.MAX_MESSAGES);
        List<ChatMessage> messages = new ArrayList<>(request.getMessagesCount());
        for (io.penstock.api.chat.ChatMessage message : request.getMessagesList()) {
            ChatMessage.Role role = ChatMessage.Role.named(message.getRole())
                    .orElseThrow(() -> RequestException.bad(
                            "messages", "a role must be system, developer, user, assistant or tool"));
            messages.add(new ChatMessage(
                    role,
                    message.getContent(),
                    Optional.of(message.getName()).filter(name -> !name.isEmpty()),
                    List.of(),
                    Optional.empty()));
        }
        return messages;
    }

    private static int within(String what, int value, int least, int most) {
        if (value < least || value > most) {
            throw RequestException.bad(what, "%s is %d, must lie in [%d, %d]", what, value, least, most);
        }
        return value;
    }

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
            case CompletionEvent.Thought _, CompletionEvent.CallBegun _, CompletionEvent.CallArguments _ ->
                throw new IllegalStateException("all of the text was to be content");
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
