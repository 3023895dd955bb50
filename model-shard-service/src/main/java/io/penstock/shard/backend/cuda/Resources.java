package io.penstock.shard.backend.cuda;

import java.util.ArrayDeque;
import java.util.Deque;

/// What must be given back, in the reverse order of its taking: at an end as after a failure half
/// way, when an owner's constructor has taken some of it and nobody else knows of it. For one
/// thread.
final class Resources implements AutoCloseable {
    private final Deque<Runnable> releases = new ArrayDeque<>();

    /// @param release runs once
    void hold(Runnable release) {
        releases.push(release);
    }

    /// Gives everything back.
    ///
    /// @throws RuntimeException the first failure, when the others had their turn as well
    @Override
    public void close() {
        RuntimeException failure = null;
        while (!releases.isEmpty()) {
            try {
                releases.pop().run();
            } catch (RuntimeException e) {
                if (failure == null) {
                    failure = e;
                } else {
                    failure.addSuppressed(e);
                }
            }
        }
        if (failure != null) {
            throw failure;
        }
    }

    /// The same because of a failure, which is what the caller is to hear of.
    void closeAfter(Throwable cause) {
        try {
            close();
        } catch (RuntimeException e) {
            cause.addSuppressed(e);
        }
    }
}
