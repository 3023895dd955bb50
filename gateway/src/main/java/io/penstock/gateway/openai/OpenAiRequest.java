package io.penstock.gateway.openai;

import io.penstock.gateway.chat.CompletionRequest;
import java.util.List;
import java.util.Optional;

/// A request as it was read: what to generate, and how to say it.
///
/// @param completion its id is that of `head`
/// @param head what all parts of the answer have in common
/// @param includeUsage whether a stream ends with the usage
/// @param echoes texts that the choices start with, by prompt; empty: none
/// @param tokensAsIds whether tokens are spelt `token_id:<id>`
record OpenAiRequest(
        CompletionRequest completion,
        AnswerHead head,
        boolean stream,
        boolean includeUsage,
        List<String> echoes,
        boolean tokensAsIds) {

    OpenAiRequest {
        echoes = List.copyOf(echoes);
    }

    /// What a choice's text starts with.
    Optional<String> echoOf(int choice) {
        return echoes.isEmpty() ? Optional.empty() : Optional.of(echoes.get(choice / completion.choices()));
    }
}
