package io.penstock.gateway.chat;

/// Tokens of a whole request, all its choices together.
///
/// @param prompt each prompt counted once, however many choices it has
/// @param cached prompt tokens whose keys and values were there already
public record Usage(int prompt, int completion, int cached) {
    public int total() {
        return prompt + completion;
    }
}
