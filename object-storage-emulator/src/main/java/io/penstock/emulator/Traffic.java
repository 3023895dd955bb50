package io.penstock.emulator;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.LongAdder;

/// What has been read from the emulator: lets a test say how often, and how many bytes, a client has
/// fetched.
public final class Traffic {
    private final List<ObjectRead> reads = new CopyOnWriteArrayList<>();
    private final LongAdder bytes = new LongAdder();

    void add(ObjectRead read, long sent) {
        reads.add(read);
        bytes.add(sent);
    }

    /// @return the GETs of objects whose body was begun, in the order they were answered
    public List<ObjectRead> reads() {
        return List.copyOf(reads);
    }

    /// @return bytes of bodies of objects
    public long bytes() {
        return bytes.sum();
    }

    public void clear() {
        reads.clear();
        bytes.reset();
    }
}
