package io.penstock.emulator;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Predicate;

/// The faults that are switched on. Each strikes the next reads or uploads that it is meant for, a given number of
/// times, in the order of their injection; one of them meets at most one.
public final class Faults {
    /// Guards the lists and [#struck].
    private final ReentrantLock lock = new ReentrantLock();

    private final List<Injected<ObjectRead>> injected = new ArrayList<>();
    private final List<Injected<ObjectWrite>> writes = new ArrayList<>();
    private int struck;
    private long clearings;

    private record Injected<T>(Fault fault, int times, Predicate<T> target) {}

    /// Strikes the next `times` reads of any object.
    public void inject(Fault fault, int times) {
        inject(fault, times, _ -> true);
    }

    /// @param times how often, > 0; [Integer#MAX_VALUE] for always
    /// @param target which reads it is meant for
    public void inject(Fault fault, int times, Predicate<ObjectRead> target) {
        add(injected, new Injected<>(fault, times, target));
    }

    /// Strikes uploads: [Fault.Latency], [Fault.Refusal], [Fault.ExpiredCredentials],
    /// [Fault.Corruption] (of what arrives), [Fault.Stall] (nothing of the body is taken, no answer
    /// comes), [Fault.Reset] (instead of the answer; before anything is done where its count is negative).
    ///
    /// @param times as for reads
    /// @param target which steps it is meant for
    public void injectWrite(Fault fault, int times, Predicate<ObjectWrite> target) {
        add(writes, new Injected<>(fault, times, target));
    }

    private <T> void add(List<Injected<T>> to, Injected<T> fault) {
        if (fault.times() <= 0) {
            throw new IllegalArgumentException("a fault strikes at least once, not " + fault.times());
        }
        lock.lock();
        try {
            to.add(fault);
        } finally {
            lock.unlock();
        }
    }

    public void clear() {
        lock.lock();
        try {
            injected.clear();
            writes.clear();
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

    /// @return how many reads and uploads have met a fault since the start
    public int struck() {
        lock.lock();
        try {
            return struck;
        } finally {
            lock.unlock();
        }
    }

    Optional<Fault> next(ObjectRead read) {
        return next(injected, read);
    }

    Optional<Fault> next(ObjectWrite write) {
        return next(writes, write);
    }

    private <T> Optional<Fault> next(List<Injected<T>> from, T met) {
        lock.lock();
        try {
            for (int i = 0; i < from.size(); i++) {
                Injected<T> candidate = from.get(i);
                if (candidate.target().test(met)) {
                    struck++;
                    if (candidate.times() == 1) {
                        from.remove(i);
                    } else if (candidate.times() != Integer.MAX_VALUE) {
                        from.set(i, new Injected<>(candidate.fault(), candidate.times() - 1, candidate.target()));
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
