package io.penstock.gateway.openai;

import io.penstock.gateway.access.Capacity;
import java.util.concurrent.atomic.AtomicBoolean;

/// A request's place in the gateway's capacity, and that of its body's bytes; given up once.
final class Place implements AutoCloseable {
    private final Capacity capacity;
    private final AtomicBoolean left = new AtomicBoolean();
    private volatile long bytes;

    private Place(Capacity capacity) {
        this.capacity = capacity;
    }

    /// @throws io.penstock.model.PenstockException if there is none
    static Place in(Capacity capacity) {
        capacity.enter();
        return new Place(capacity);
    }

    /// @param count already held in the capacity
    void holds(long count) {
        bytes = count;
    }

    @Override
    public void close() {
        if (left.compareAndSet(false, true)) {
            capacity.release(bytes);
            capacity.leave();
        }
    }
}
