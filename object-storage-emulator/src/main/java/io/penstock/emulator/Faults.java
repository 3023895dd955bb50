package io.penstock.emulator;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Predicate;

/// The faults that are switched on. Each strikes the next reads that it is meant for, a given number of
/// times, in the order of their injection; one read meets at most one.
public final class Faults {
    /// Guards [#injected] and [#struck].
    private final ReentrantLock lock = new ReentrantLock();

    private final List<Injected> injected = new ArrayList<>();
    private int struck;
    private long clearings;

    private record Injected(Fault fault, int times, Predicate<ObjectRead> target) {}

    /// Strikes the next `times` reads of any object.
    public void inject(Fault fault, int times) {
        inject(fault, times, _ -> true);
    }

    /// @param times how often, > 0; [Integer#MAX_VALUE] for always
    /// @param target which reads it is meant for
    public void inject(Fault fault, int times, Predicate<ObjectRead> target) {
        if (times <= 0) {
            throw new IllegalArgumentException("a fault strikes at least once, not " + times);
        }
        lock.lock();
        try {
            injected.add(new Injected(fault, times, target));
        } finally {
            lock.unlock();
        }
    }

    public void clear() {
        lock.lock();
        try {
            injected.clear();
            clearings++;
        } finally {
            lock.unlock();
        }
    }

    /// How often [#clear()] was called.
    long clearings() {
        lock.lock();
        try {
            return clearings;
        } finally {
            lock.unlock();
        }
    }

    /// Does what a fault does to the store, unless it was cleared meanwhile: who has cleared the faults sees no
    /// late one.
    void unlessCleared(long since, Runnable deed) {
        lock.lock();
        try {
            if (clearings == since) {
                deed.run();
            }
        } finally {
            lock.unlock();
        }
    }

    /// @return how many reads have met a fault since the start
    public int struck() {
        lock.lock();
        try {
            return struck;
        } finally {
            lock.unlock();
        }
    }

    Optional<Fault> next(ObjectRead read) {
        lock.lock();
        try {
            for (int i = 0; i < injected.size(); i++) {
                Injected candidate = injected.get(i);
                if (candidate.target().test(read)) {
                    struck++;
                    if (candidate.times() == 1) {
                        injected.remove(i);
                    } else if (candidate.times() != Integer.MAX_VALUE) {
                        injected.set(i, new Injected(candidate.fault(), candidate.times() - 1, candidate.target()));
                    }
                    return Optional.of(candidate.fault());
                }
            }
            return Optional.empty();
        } finally {
            lock.unlock();
        }
    }
}
