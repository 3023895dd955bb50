package io.penstock.loader.wire;

import java.net.http.HttpHeaders;
import java.nio.ByteBuffer;

/// Hears the answer to a [WireClient] call as it comes, one call after another, on the connection's
/// event loop. What it throws ends the call: the connection is given up and [#broken] hears of it.
public interface Receiver {
    /// The final status, before any byte.
    void head(int status, HttpHeaders headers);

    /// @param bytes of the body, valid during the call only; direct memory
    void bytes(ByteBuffer bytes);

    /// Last call: the body has ended as its headers said.
    void end();

    /// Last call: it has not.
    void broken(Throwable failure);
}
