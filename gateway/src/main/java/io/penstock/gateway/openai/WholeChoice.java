package io.penstock.gateway.openai;

import io.penstock.gateway.chat.FinishReason;
import io.penstock.gateway.chat.TokenText;
import java.util.List;

/// A choice that has come to its end.
record WholeChoice(String text, List<TokenText> tokens, FinishReason reason) {}
