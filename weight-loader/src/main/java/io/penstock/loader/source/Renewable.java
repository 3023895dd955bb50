package io.penstock.loader.source;

import java.util.Optional;
import java.util.function.Supplier;

/// Something that is made at first use, kept, and made anew when it has turned out to be stale:
/// credentials.
public final class Renewable<T> implements Supplier<T> {
    private final Supplier<T> maker;
    /// Guarded by this object's monitor.
    private Optional<T> made = Optional.empty();

    /// @param maker may throw; it is then asked again the next time
    public Renewable(Supplier<T> maker) {
        this.maker = maker;
    }

    @Override
    public synchronized T get() {
        if (made.isEmpty()) {
            made = Optional.of(maker.get());
        }
        return made.get();
    }

    /// The next [#get] makes it anew, unless that was done since: of many that find the same one stale, one does it.
    ///
    /// @param stale that [#get] gave
    @SuppressWarnings("ReferenceEquality") // Two that are equal are still two.
    public synchronized void renew(Object stale) {
        if (made.filter(current -> current == stale).isPresent()) {
            made = Optional.empty();
        }
    }
}
