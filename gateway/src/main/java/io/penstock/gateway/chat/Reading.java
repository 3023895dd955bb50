package io.penstock.gateway.chat;

import io.penstock.model.answer.AnswerFormat;
import io.penstock.model.answer.AnswerParser;
import java.util.Optional;
import java.util.Set;

/// How the text of an answer is read: what of it are thoughts, and what calls of functions.
///
/// @param insideThought whether the prompt ends where the model's thoughts begin
/// @param calls whether functions were offered; if not, what looks like a call is text
public record Reading(AnswerFormat format, boolean insideThought, boolean calls) {
    /// All of it is text.
    public static final Reading PLAIN = new Reading(AnswerFormat.PLAIN, false, false);

    public Reading {
        if (!calls) {
            format = new AnswerFormat(format.reasoning(), AnswerFormat.Calls.NONE);
        }
    }

    /// Special tokens whose text the parser must see.
    Set<String> shownTokens() {
        return format.shownTokens();
    }

    /// @return for one choice; empty: there is nothing to tell apart
    Optional<AnswerParser> parser() {
        return format.equals(AnswerFormat.PLAIN) ? Optional.empty() : Optional.of(format.parser(insideThought, calls));
    }
}
