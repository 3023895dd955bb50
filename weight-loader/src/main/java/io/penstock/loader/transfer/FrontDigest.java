package io.penstock.loader.transfer;

import io.penstock.loader.cache.Blob;
import io.penstock.loader.cache.RunningDigest;
import java.util.Optional;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.IntPredicate;

/// The digest of a whole file that follows the front of what has come, so that it is known soon after the last piece.
final class FrontDigest {
    /// Pieces between two looks at how far the front has come.
    private static final int STEP = 16;

    private final Blob blob;
    /// The file's, taken after nothing; guards all fields below.
    private final ReentrantLock lock;
    private final IntPredicate isThere;

    /// Of the whole, as far as it has come; empty where the source has none.
    private Optional<RunningDigest> running;
    /// Whether a thread takes pieces into it.
    private boolean following;
    /// What the comparison said: it is made once.
    private boolean matched;

    /// @param isThere whether a piece has come; asked under the lock
    FrontDigest(Blob blob, ReentrantLock lock, IntPredicate isThere) {
        this.blob = blob;
        this.lock = lock;
        this.isThere = isThere;
        this.running = RunningDigest.of(blob);
    }

    /// Pieces have turned out to be wrong: it begins anew.
    void reset() {
        running = RunningDigest.of(blob);
        matched = false;
    }

    /// @return whether there is none, or all of the file is in it
    boolean isWhole() {
        return running.isEmpty() || running.get().isWhole();
    }

    /// @return whether the caller is to have a thread run [#follow]
    boolean begin() {
        if (running.isPresent() && !following && isNextThere(running.get())) {
            following = true;
            return true;
        }
        return false;
    }

    private boolean isNextThere(RunningDigest digest) {
        return !digest.isWhole() && isThere.test(digest.next());
    }

    /// Takes in what has come, until nothing more has. Blocks; not under the lock.
    void follow() {
        boolean done = false;
        try {
            while (true) {
                RunningDigest digest;
                int to;
                lock.lock();
                try {
                    digest = running.orElseThrow();
                    to = digest.next();
                    while (to < blob.pieces() && to < digest.next() + STEP && isThere.test(to)) {
                        to++;
                    }
                    if (to == digest.next()) {
                        following = false;
                        done = true;
                        return;
                    }
                } finally {
                    lock.unlock();
                }
                digest.take(to);
            }
        } finally {
            if (!done) {
                lock.lock();
                try {
                    following = false;
                    // Some of a piece may be in it.
                    reset();
                } finally {
                    lock.unlock();
                }
            }
        }
    }

    /// Whether all that has come is what the source says; true where it says nothing.
    boolean matches() {
        lock.lock();
        try {
            return matched || (matched = blob.matches(running));
        } finally {
            lock.unlock();
        }
    }
}
