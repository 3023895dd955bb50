package io.penstock.cli.system;

import java.util.List;

/// A streamed completion as a client saw it.
record Completion(String text, List<Token> tokens, String finishReason) {
    record Token(int id, double logprob) {}
}
