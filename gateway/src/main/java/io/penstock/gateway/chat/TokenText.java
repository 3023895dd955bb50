package io.penstock.gateway.chat;

import java.util.List;

/// One token with its log-probability, spelt.
///
/// @param text its bytes as UTF-8, U+FFFD where they are part of a character; special tokens as they are written
/// @param bytes what `text` was made from
/// @param offset of its first character in the choice's text; 0 in `top`
/// @param logprob natural logarithm
/// @param top alternatives, best first
public record TokenText(int id, String text, byte[] bytes, int offset, float logprob, List<TokenText> top) {}
