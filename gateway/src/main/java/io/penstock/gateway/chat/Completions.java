package io.penstock.gateway.chat;

import io.opentelemetry.context.Context;
import io.penstock.api.inference.GenerateRequest;
import io.penstock.api.inference.LogitBias;
import io.penstock.api.inference.Sampling;
import io.penstock.gateway.dispatch.Schedulers;
import io.penstock.gateway.telemetry.Generation;
import io.penstock.gateway.telemetry.GenerationTelemetry;
import io.penstock.gateway.telemetry.GenerationTrace;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.sampling.SamplingParameters;
import jakarta.enterprise.context.ApplicationScoped;
import jakarta.inject.Inject;

/// Starts requests: each choice becomes a sequence at a scheduler.
@ApplicationScoped
public class Completions {
    private final Schedulers schedulers;
    private final GenerationTelemetry telemetry;

    @Inject
    public Completions(Schedulers schedulers, GenerationTelemetry telemetry) {
        this.schedulers = schedulers;
        this.telemetry = telemetry;
    }

    /// @param arrival when the request came in, by [System#nanoTime()]
    /// @param parent trace the request belongs to
    /// @throws RequestException if it cannot fit the model
    public Completion begin(CompletionRequest request, long arrival, boolean streams, Context parent) {
        for (int[] prompt : request.prompts()) {
            checkLength(request, prompt.length);
        }
        for (int id : request.stopTokenIds()) {
            int vocabulary = request.model().tokenizer().vocabularySize();
            if (id < 0 || id >= vocabulary) {
                throw RequestException.bad(
                        "stop_token_ids", "stop_token_ids names token %d, the vocabulary has %d", id, vocabulary);
            }
        }
        checkBias(request);
        GenerationTrace trace = telemetry.begin(generation(request, streams), arrival, parent);
        Completion completion = new Completion(request, trace);
        for (int choice = 0; choice < request.sequences(); choice++) {
            completion.add(schedulers.open(choice, sequence(request, choice, trace), completion::arrived));
        }
        return completion;
    }

    private static Generation generation(CompletionRequest request, boolean streams) {
        return new Generation(
                request.id(),
                request.operation(),
                request.model().name(),
                streams,
                request.sampling(),
                request.maxTokens(),
                request.choices(),
                request.sequences(),
                request.promptTokens());
    }

    private static void checkBias(CompletionRequest request) {
        try {
            request.sampling().checkVocabulary(request.model().tokenizer().vocabularySize());
        } catch (PenstockException e) {
            throw RequestException.bad("logit_bias", "%s", e.getMessage());
        }
    }

    private static void checkLength(CompletionRequest request, int promptLength) {
        int context = request.model().contextLength();
        if (promptLength == 0) {
            throw RequestException.bad("prompt", "The prompt is empty.");
        }
        if (promptLength >= context) {
            throw new RequestException(
                    ErrorCategory.BAD_INPUT,
                    request.operation().equals(CompletionRequest.CHAT) ? "messages" : "prompt",
                    "context_length_exceeded",
                    "This model's maximum context length is %d tokens, the prompt has %d.",
                    context,
                    promptLength);
        }
        if (request.maxTokens().orElse(0) > context - promptLength) {
            throw new RequestException(
                    ErrorCategory.BAD_INPUT,
                    "max_tokens",
                    "context_length_exceeded",
                    "This model's maximum context length is %d tokens; the prompt has %d and %d more were asked for.",
                    context,
                    promptLength,
                    request.maxTokens().getAsInt());
        }
        if (request.minTokens() > request.maxTokens().orElse(context - promptLength)) {
            throw RequestException.bad(
                    "min_tokens", "min_tokens is %d, more than may be generated", request.minTokens());
        }
    }

    private static GenerateRequest sequence(CompletionRequest request, int choice, GenerationTrace trace) {
        int[] prompt = request.promptOf(choice);
        SamplingParameters parameters = request.sampling();
        Sampling.Builder sampling = Sampling.newBuilder()
                .setTemperature(parameters.temperature())
                .setTopP(parameters.topP())
                .setTopK(parameters.topK())
                .setMinP(parameters.minP())
                .setRepetitionPenalty(parameters.repetitionPenalty())
                .setFrequencyPenalty(parameters.frequencyPenalty())
                .setPresencePenalty(parameters.presencePenalty())
                .setSeed(request.seedOf(choice));
        parameters
                .logitBias()
                .forEach((id, bias) -> sampling.addLogitBias(
                        LogitBias.newBuilder().setTokenId(id).setBias(bias)));
        GenerateRequest.Builder sequence = GenerateRequest.newBuilder()
                .setRequestId(request.id() + "-" + choice)
                .setModel(request.model().name())
                .setRevision(request.model().revision())
                .setSampling(sampling)
                .addAllStopTokenIds(request.stopTokenIds())
                .setMaxTokens(request.maxTokens().orElse(request.model().contextLength() - prompt.length))
                .setMinTokens(request.minTokens())
                .putAllTraceContext(trace.context());
        for (int id : prompt) {
            sequence.addPromptTokens(id);
        }
        request.topLogprobs().ifPresent(sequence::setTopLogprobs);
        return sequence.build();
    }
}
