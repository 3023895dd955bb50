package io.penstock.gateway.catalogue;

import io.penstock.model.template.ChatTemplate;
import io.penstock.model.tokenizer.Tokenizer;
import java.util.Map;
import java.util.Optional;

/// What turns a model's tokens into text and back, read from its checkpoint.
///
/// @param template absent for a model that was not trained to chat
/// @param specials template variables that name special tokens: `bos_token`, `eos_token`
public record ModelText(Tokenizer tokenizer, Optional<ChatTemplate> template, Map<String, String> specials) {
    public ModelText {
        specials = Map.copyOf(specials);
    }
}
