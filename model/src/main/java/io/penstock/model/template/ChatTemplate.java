package io.penstock.model.template;

import io.penstock.model.tokenizer.PromptText;
import java.util.Map;

/// A model's own chat template: Jinja, as transformers configures it (trim_blocks, lstrip_blocks, no autoescape).
/// Immutable and safe for use by many threads. What a message contains is data: it is never evaluated.
public interface ChatTemplate {
    /// @param variables `messages`, `add_generation_prompt`, `tools`, `bos_token`, …: maps, lists, strings, numbers,
    ///     booleans and nulls
    /// @return the prompt, text that came from `messages` and `tools` marked untrusted
    /// @throws io.penstock.model.PenstockException (bad input) if the template raises, or exceeds its bounds on
    ///     steps, depth or output
    PromptText render(Map<String, Object> variables);
}
