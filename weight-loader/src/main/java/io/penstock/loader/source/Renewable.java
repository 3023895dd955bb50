package io.penstock.loader.source;

import java.util.Optional;
import java.util.function.Supplier;

/// Something that is made at first use, kept, and made anew when it has turned out to be stale:
/// credentials.
public final class Renewable<T> implements Supplier<T> {
    private static final long LEAST_NANOS_BETWEEN = 1_000_000_000;

    private final Supplier<T> maker;
    /// Guarded by this object's monitor, as is the time.
    private Optional<T> made = Optional.empty();

    private long madeAt;

    private final long leastNanos;

    /// @param maker may throw; it is then asked again the next time
    public Renewable(Supplier<T> maker) {
        this(maker, LEAST_NANOS_BETWEEN);
    }

    /// @param leastNanos no sooner than this after it was made is it made anew
    Renewable(Supplier<T> maker, long leastNanos) {
        this.maker = maker;
        this.leastNanos = leastNanos;
    }

    @Override
    public synchronized T get() {
        if (made.isEmpty()) {
            made = Optional.of(maker.get());
            madeAt = System.nanoTime();
        }
        return made.get();
    }

    /// The next [#get] makes it anew, unless it has just been.
    public synchronized void renew() {
        if (System.nanoTime() - madeAt > leastNanos) {
            made = Optional.empty();
        }
    }
}
