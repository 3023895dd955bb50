package io.penstock.gateway.openai;

import io.penstock.gateway.access.Capacity;
import java.util.concurrent.atomic.AtomicReference;

/// A request's place in the gateway's capacity, given up exactly once: by the thread that answers it or, if it comes to
/// none, when its connection ends.
final class Place {
    private enum State {
        WAITING,
        TAKEN,
        LEFT
    }

    private final Capacity capacity;
    private final AtomicReference<State> state = new AtomicReference<>(State.WAITING);

    Place(Capacity capacity) {
        this.capacity = capacity;
    }

    /// An answering thread starts; it will [#leave].
    void take() {
        state.set(State.TAKEN);
    }

    void leave() {
        if (state.getAndSet(State.LEFT) != State.LEFT) {
            capacity.leave();
        }
    }

    void leaveUnlessTaken() {
        if (state.compareAndSet(State.WAITING, State.LEFT)) {
            capacity.leave();
        }
    }
}
