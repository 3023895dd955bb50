package io.penstock.gateway.catalogue;

import io.penstock.model.template.ChatFormat;

/// Where tokenizers and chat templates come from.
public interface TextSource {
    /// Blocks while it reads.
    ///
    /// @param revision as a scheduler reports it
    /// @throws io.penstock.model.PenstockException if it cannot be had, or must not be used
    ChatFormat read(String model, String revision);
}
