package io.penstock.loader.source;

import io.penstock.loader.wire.Names;
import io.penstock.loader.wire.Reach;
import io.penstock.loader.wire.Throttle;
import io.penstock.loader.wire.WireClient;
import java.time.Duration;
import java.util.function.Consumer;

/// What sources and pushes send their requests by, with short patience.
public record Web(WireClient wire, RemoteHttp http) implements AutoCloseable {
    /// Two attempts, redirects to anywhere.
    static Web open() {
        return open(2, _ -> {}, Reach.ANYWHERE, Names.OF_THE_SYSTEM);
    }

    /// @param onRetry hears the kind of each failure that is repeated
    public static Web open(int attempts, Consumer<String> onRetry) {
        return open(attempts, onRetry, Reach.ANYWHERE, Names.OF_THE_SYSTEM);
    }

    static Web open(int attempts, Consumer<String> onRetry, Reach ofRedirects, Names names) {
        WireClient wire = new WireClient(1, new Throttle(0), names);
        Retry retry = new Retry(attempts, Duration.ofMillis(1), Duration.ofMillis(20), onRetry);
        return new Web(wire, new RemoteHttp(retry, wire, ofRedirects));
    }

    @Override
    public void close() {
        http.close();
        wire.close();
    }
}
