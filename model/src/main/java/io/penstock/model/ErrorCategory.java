package io.penstock.model;

/// What kind of failure this is, and so who must act. Each maps to one HTTP status (in the gateway) and one gRPC status
/// (`io.penstock.api.ErrorStatus`).
public enum ErrorCategory {
    /// The caller sent something that can never work; the message names the field, its value and the limit.
    BAD_INPUT,
    /// A model, file or route that is not here.
    NOT_FOUND,
    /// Sound work that there is no room for now; the caller may try again later.
    OVERLOADED,
    /// Nothing can serve at this moment: no group is formed, a peer is away, the service is draining.
    UNAVAILABLE,
    /// The caller's own time limit has passed.
    DEADLINE,
    /// Bytes are not what they should be: a checkpoint, a checksum, a message that breaks its contract.
    CORRUPT,
    /// A defect of ours.
    INTERNAL
}
