package io.penstock.gateway.access;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;

/// The model is here and cannot be served as it is set up. Who comes again is told the same, until somebody changes
/// that; so the message, unlike others of things that are not there, is for clients.
public final class UnservableException extends PenstockException {
    /// @param reason such as a shard group's refusal, in a scheduler's words
    public UnservableException(String reason) {
        super(ErrorCategory.UNAVAILABLE, "The model cannot be served: %s", reason);
    }
}
