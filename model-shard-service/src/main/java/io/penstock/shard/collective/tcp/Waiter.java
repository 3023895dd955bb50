package io.penstock.shard.collective.tcp;

import io.penstock.shard.collective.PeerException;
import java.io.IOException;
import java.nio.channels.Selector;
import java.util.concurrent.TimeUnit;

/// How the step loop waits for its peers: it spins for a moment, since most answers are microseconds away
/// and waking a thread takes longer than that, then sleeps in the kernel, and at the deadline gives up a
/// peer whose process is gone.
final class Waiter implements AutoCloseable {
    private final Selector selector;
    private final long spinNanos;
    private final long timeoutNanos;
    private final Pulse pulse;
    private long started;
    private long waited;

    /// @param timeoutNanos of silence, after which the peer is asked whether it is there
    Waiter(long spinNanos, long timeoutNanos, Pulse pulse) throws IOException {
        this.pulse = pulse;
        selector = Selector.open();
        this.spinNanos = spinNanos;
        this.timeoutNanos = timeoutNanos;
    }

    Selector selector() {
        return selector;
    }

    void begin() {
        started = System.nanoTime();
    }

    void end() {
        waited += System.nanoTime() - started;
    }

    long waitedNanos() {
        return waited;
    }

    /// Spins or sleeps for a while.
    ///
    /// @param since when the present wait began, 0 for none
    /// @return the wait's beginning
    long pause(long since, PeerAddress peer) {
        long now = System.nanoTime();
        if (since == 0) {
            return now;
        }
        long idle = now - since;
        if (idle < spinNanos) {
            Thread.onSpinWait();
            return since;
        }
        long left = timeoutNanos - idle;
        if (left <= 0) {
            if (pulse.felt(peer)) {
                return System.nanoTime();
            }
            throw new PeerException(
                    peer.tpRank(),
                    peer.ppStage(),
                    "was silent for %d ms".formatted(TimeUnit.NANOSECONDS.toMillis(timeoutNanos)),
                    null);
        }
        try {
            selector.select(TimeUnit.NANOSECONDS.toMillis(left) + 1);
        } catch (IOException e) {
            throw new PeerException(peer.tpRank(), peer.ppStage(), "cannot be waited for: " + e.getMessage(), e);
        }
        selector.selectedKeys().clear();
        return since;
    }

    @Override
    public void close() {
        PeerListener.closeQuietly(selector);
    }
}
