package io.penstock.scheduler.grpc;

import jakarta.inject.Singleton;
import java.util.function.LongSupplier;

/// Nanoseconds since the process began, monotonic: every time in the scheduler is on this clock.
@Singleton
public class MonotonicClock implements LongSupplier {
    private final long origin = System.nanoTime();

    @Override
    public long getAsLong() {
        return System.nanoTime() - origin;
    }
}
