package io.penstock.gateway.access;

import io.penstock.gateway.config.GatewayConfig;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import jakarta.enterprise.context.ApplicationScoped;
import jakarta.inject.Inject;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;

/// How many requests, and how many bytes of their bodies, are in hand. There is no queue here: what exceeds the bounds
/// is told to come back.
@ApplicationScoped
public class Capacity {
    private final int maxRequests;
    private final long maxBytes;
    private final AtomicInteger requests = new AtomicInteger();
    private final AtomicLong bytes = new AtomicLong();

    @Inject
    public Capacity(GatewayConfig config) {
        maxRequests = config.maxConcurrent();
        maxBytes = config.maxBodiesHeld().asLongValue();
    }

    /// To be followed by [#leave].
    ///
    /// @throws PenstockException (overloaded) if there is no room
    public void enter() {
        if (requests.incrementAndGet() > maxRequests) {
            requests.decrementAndGet();
            throw new PenstockException(
                    ErrorCategory.OVERLOADED, "%d requests are in hand, no more are taken", maxRequests);
        }
    }

    public void leave() {
        requests.decrementAndGet();
    }

    /// To be followed by [#release].
    ///
    /// @throws PenstockException (overloaded) if there is no room
    public void hold(long count) {
        if (bytes.addAndGet(count) > maxBytes) {
            bytes.addAndGet(-count);
            throw new PenstockException(ErrorCategory.OVERLOADED, "too many bytes of requests are in hand");
        }
    }

    public void release(long count) {
        bytes.addAndGet(-count);
    }

    /// Requests in hand.
    public int requests() {
        return requests.get();
    }
}
