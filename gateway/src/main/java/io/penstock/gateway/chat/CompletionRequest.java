package io.penstock.gateway.chat;

import io.penstock.gateway.catalogue.ServedModel;
import io.penstock.model.sampling.SamplingParameters;
import java.util.List;
import java.util.OptionalInt;
import java.util.Set;

/// What every protocol's request comes down to: prompts as tokens and how to go on from them.
///
/// @param id of the answer, unique; also names its sequences
/// @param operation as telemetry names it: [#CHAT] or [#TEXT]
/// @param prompts one or more, none of them empty
/// @param choices answers to each prompt
/// @param sampling its seed is that of the first choice; the others' follow from it
/// @param stops texts that end a choice and are not part of it
/// @param stopTokenIds tokens that do
/// @param maxTokens of each choice; absent: up to the context's end
/// @param topLogprobs alternatives a token; absent: no log-probabilities
/// @param reading of the choices' texts
public record CompletionRequest(
        String id,
        String operation,
        ServedModel model,
        List<int[]> prompts,
        int choices,
        SamplingParameters sampling,
        List<String> stops,
        Set<Integer> stopTokenIds,
        OptionalInt maxTokens,
        int minTokens,
        OptionalInt topLogprobs,
        Reading reading) {

    public static final String CHAT = "chat";
    public static final String TEXT = "text_completion";

    public CompletionRequest {
        prompts = List.copyOf(prompts);
        stops = List.copyOf(stops);
        stopTokenIds = Set.copyOf(stopTokenIds);
    }

    /// Choices of all prompts.
    public int sequences() {
        return prompts.size() * choices;
    }

    /// Each prompt counted once.
    int promptTokens() {
        return prompts.stream().mapToInt(prompt -> prompt.length).sum();
    }

    public int[] promptOf(int choice) {
        return prompts.get(choice / choices);
    }

    /// Each choice draws from a seed of its own; the first from the request's.
    long seedOf(int choice) {
        int nth = choice % choices;
        // The increment of SplitMix64 (Steele, Lea, Flood 2014): odd, so that no two choices share a seed.
        return sampling.seed() + nth * 0x9e3779b97f4a7c15L;
    }
}
