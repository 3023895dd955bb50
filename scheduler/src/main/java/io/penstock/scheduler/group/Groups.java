package io.penstock.scheduler.group;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.util.Collection;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.function.Function;
import java.util.function.LongSupplier;

/// All shard groups of this scheduler, by name. A group begins with the first rank that names it and
/// stays, so that requests can wait for its ranks to come back.
public final class Groups implements AutoCloseable {
    private static final int MOST_GROUPS = 256;

    private final ConcurrentMap<String, GroupLoop> loops = new ConcurrentHashMap<>();
    private final Function<String, GroupLoop> start;
    private final LongSupplier clock;
    private final long discoveryGrace;
    private final long startedAt;
    private volatile boolean draining;

    /// @param start makes a group's loop from its name
    /// @param discoveryGrace nanoseconds after the start in which an unnamed model may still turn up
    public Groups(Function<String, GroupLoop> start, LongSupplier clock, long discoveryGrace) {
        this.start = start;
        this.clock = clock;
        this.discoveryGrace = discoveryGrace;
        startedAt = clock.getAsLong();
    }

    /// The group of that name, begun if it is new.
    ///
    /// @throws PenstockException (overloaded) if there are too many groups
    public GroupLoop named(String name) {
        GroupLoop known = loops.get(name);
        if (known != null) {
            return known;
        }
        if (loops.size() >= MOST_GROUPS) {
            throw new PenstockException(ErrorCategory.OVERLOADED, "there are %d groups already", MOST_GROUPS);
        }
        return loops.computeIfAbsent(name, start);
    }

    /// The group for a request: a serving one before others, one that would refuse it after others, the least
    /// loaded before others.
    ///
    /// @param revision empty for any
    /// @throws PenstockException (not found, or unavailable where it may yet come)
    public GroupLoop pick(String model, String revision) {
        if (draining) {
            throw new PenstockException(ErrorCategory.UNAVAILABLE, "the scheduler is shutting down");
        }
        GroupLoop best = null;
        GroupSnapshot bestSnapshot = null;
        for (GroupLoop loop : loops.values()) {
            GroupSnapshot snapshot = loop.snapshot();
            if (snapshot.serves(model)
                    && (revision.isEmpty()
                            || revision.equals(snapshot.identity().revision()))
                    && (best == null || better(snapshot, bestSnapshot))) {
                best = loop;
                bestSnapshot = snapshot;
            }
        }
        if (best != null) {
            return best;
        }
        if (loops.isEmpty() || clock.getAsLong() - startedAt < discoveryGrace) {
            throw new PenstockException(ErrorCategory.UNAVAILABLE, "no shard group serves the model yet");
        }
        throw new PenstockException(
                ErrorCategory.NOT_FOUND,
                "model %s%s is not served here",
                model,
                revision.isEmpty() ? "" : " of revision " + revision);
    }

    private static boolean better(GroupSnapshot snapshot, GroupSnapshot than) {
        if (snapshot.serving() != than.serving()) {
            return snapshot.serving();
        }
        boolean refuses = snapshot.refusal() != null;
        return refuses == (than.refusal() != null) ? snapshot.load() < than.load() : !refuses;
    }

    public Collection<GroupLoop> all() {
        return loops.values();
    }

    /// In the order of their names.
    public Collection<GroupSnapshot> snapshots() {
        TreeMap<String, GroupSnapshot> snapshots = new TreeMap<>();
        loops.forEach((name, loop) -> snapshots.put(name, loop.snapshot()));
        return snapshots.values();
    }

    public boolean draining() {
        return draining;
    }

    /// Takes no more work; what runs goes on.
    public void drain() {
        draining = true;
        loops.values().forEach(loop -> loop.execute(ShardGroup::drain));
    }

    /// Ends what still runs, so that it can be tried elsewhere.
    public void handBack() {
        loops.values()
                .forEach(loop -> loop.execute(
                        group -> group.failAll(ErrorCategory.UNAVAILABLE, "the scheduler is shutting down")));
    }

    @Override
    public void close() {
        loops.values().forEach(GroupLoop::close);
    }
}
