package io.penstock.loader.wire;

import java.net.http.HttpRequest;
import java.util.Optional;

/// A request without a body.
///
/// @param reach where it may be sent to, whatever addresses its host turns out to have
/// @param signer what it was signed with, by which its source knows what was refused
public record WireRequest(HttpRequest http, Reach reach, Optional<Object> signer) {
    /// A request to a place that the operator has named.
    public static WireRequest signed(HttpRequest http, Object signer) {
        return new WireRequest(http, Reach.ANYWHERE, Optional.of(signer));
    }

    public static WireRequest unsigned(HttpRequest http, Reach reach) {
        return new WireRequest(http, reach, Optional.empty());
    }
}
