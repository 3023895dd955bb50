package io.penstock.gateway.chat;

import io.penstock.api.inference.Token;
import io.penstock.api.inference.TokenLogprob;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.tokenizer.TextDecoder;
import io.penstock.model.tokenizer.Tokenizer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/// The text of one choice as its tokens come in: whole characters, up to the first stop text, each token's
/// log-probability together with its text.
final class ChoiceText {
    private final Tokenizer tokenizer;
    private final TextDecoder decoder;
    private final StopText stop;
    private final boolean logprobs;
    private final int minTokens;
    private final ArrayDeque<TokenText> unsent = new ArrayDeque<>();
    private int tokens;
    /// Characters decoded, and of those the ones shown.
    private int decoded;

    private int shown;
    private boolean finished;

    /// @param minTokens no stop text counts before so many tokens
    /// @param shownTokens special tokens that are text here
    ChoiceText(Tokenizer tokenizer, List<String> stops, boolean logprobs, int minTokens, Set<String> shownTokens) {
        this.tokenizer = tokenizer;
        this.decoder = tokenizer.decoder(shownTokens);
        this.stop = new StopText(stops);
        this.logprobs = logprobs;
        this.minTokens = minTokens;
    }

    /// Whether a stop text has been found. What is appended after that is not part of the text.
    boolean stopped() {
        return stop.stopped();
    }

    /// Tokens appended, that of the stop text included.
    int tokens() {
        return tokens;
    }

    /// Tokens whose log-probabilities go with the text returned last: those whose text begins in it, or before.
    List<TokenText> takeTokens() {
        if (unsent.isEmpty()) {
            return List.of();
        }
        List<TokenText> ready = new ArrayList<>();
        while (!unsent.isEmpty() && (unsent.peek().offset() < shown || (finished && !stopped()))) {
            ready.add(unsent.poll());
        }
        return ready;
    }

    /// @return text that may be shown now
    String append(Token token) {
        check(token.getId());
        tokens++;
        if (logprobs) {
            unsent.add(spell(token));
        }
        return show(decoder.append(token.getId()));
    }

    /// @return the rest of the text, once no token follows
    String finish() {
        finished = true;
        String text = show(decoder.finish());
        if (stopped()) {
            return text;
        }
        String rest = stop.finish();
        shown += rest.length();
        return text + rest;
    }

    private String show(String piece) {
        decoded += piece.length();
        String text = stop.append(piece, tokens >= minTokens);
        shown += text.length();
        return text;
    }

    private TokenText spell(Token token) {
        List<TokenText> top = new ArrayList<>(token.getTopCount());
        for (TokenLogprob other : token.getTopList()) {
            check(other.getId());
            top.add(spell(other.getId(), 0, other.getLogprob(), List.of()));
        }
        return spell(token.getId(), decoded, token.getLogprob(), top);
    }

    private TokenText spell(int id, int offset, float logprob, List<TokenText> top) {
        byte[] bytes = tokenizer.bytes(id);
        if (bytes.length == 0) {
            bytes = tokenizer.piece(id).getBytes(StandardCharsets.UTF_8);
        }
        return new TokenText(id, new String(bytes, StandardCharsets.UTF_8), bytes, offset, logprob, top);
    }

    /// An id past the tokenizer's is a row that pads the model's embeddings (Qwen2.5 has 399 of them): a token
    /// without a text.
    private static void check(int id) {
        if (id < 0) {
            throw new PenstockException(ErrorCategory.INTERNAL, "token %d came", id);
        }
    }
}
