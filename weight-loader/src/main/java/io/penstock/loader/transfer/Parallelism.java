package io.penstock.loader.transfer;

/// How many GETs run at once: grows while that brings the bytes faster, steps back where it does not
/// and where the service says that it is too much.
///
/// Told once a tick what has come. A change is judged over the second tick after it, since the first
/// one pays for new connections. All state is guarded by this object's monitor.
final class Parallelism {
    private static final int START = 8;
    /// A growth must bring so much more to be kept.
    private static final double WORTH = 1.08;
    /// Ticks until a number that did not pay is tried again.
    private static final int REST = 50;
    /// Ticks after a refusal without a growth.
    private static final int PENANCE = 10;

    private final int most;
    private int limit;
    /// What the number before the last growth brought, bytes a tick; 0 where there was none to compare
    /// with.
    private long before;
    private int previous;
    private int settling = 1;
    private int resting;
    private boolean refused;

    /// @param most never more, > 0
    Parallelism(int most) {
        this.most = most;
        this.limit = Math.min(START, most);
        this.previous = limit;
    }

    synchronized int limit() {
        return limit;
    }

    /// The service answered 429 or 503.
    synchronized void refused() {
        refused = true;
    }

    /// @param bytes that came since the last tick
    /// @param saturated whether more work was waiting all the time than could run
    synchronized void tick(long bytes, boolean saturated) {
        if (refused) {
            refused = false;
            limit = Math.max(1, limit * 3 / 4);
            before = 0;
            resting = PENANCE;
        } else if (resting > 0) {
            resting--;
        } else if (!saturated) {
            settling = 1;
        } else if (settling > 0) {
            settling--;
        } else {
            judge(bytes);
        }
    }

    private void judge(long bytes) {
        if (before > 0 && bytes < before * WORTH) {
            limit = previous;
            before = 0;
            resting = REST;
            return;
        }
        if (limit < most) {
            before = bytes;
            previous = limit;
            // By half after a rest would be as good; doubling reaches a hundred in under two seconds.
            limit = Math.min(most, limit * 2);
            settling = 1;
        }
    }
}
