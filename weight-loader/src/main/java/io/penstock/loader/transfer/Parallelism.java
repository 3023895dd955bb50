package io.penstock.loader.transfer;

/// How many GETs run at once: grows while that brings the bytes faster, steps back where it does not
/// and where the service says that it is too much.
///
/// Told once a tick how fast bytes come. A change is judged from the second tick after it, since the first
/// one pays for new connections; and not by one bad tick alone, since a pause of this machine looks
/// just like a growth that does not pay. All state is guarded by this object's monitor.
final class Parallelism {
    private static final int START = 16;
    /// A growth must bring so much more to be kept.
    private static final double WORTH = 1.08;
    /// Ticks in which a growth may show that it pays.
    private static final int TRIALS = 3;
    /// Ticks until a number that did not pay is tried again, the first time; each time later doubles it.
    private static final int SHORT_REST = 10;

    private static final int LONG_REST = 80;
    /// Ticks after a refusal without a growth.
    private static final int PENANCE = 10;

    private final int most;
    private int limit;
    /// What the number before the last growth brought, bytes a second; 0 where there was none to compare
    /// with.
    private double before;
    /// What the last tick brought, where it was one with the present number.
    private double last;
    /// What the ticks of this trial have brought together.
    private double tried;
    private int previous;
    private int settling = 1;
    private int trials;
    private int resting;
    private int rest = SHORT_REST;
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

    /// @param rate bytes a second since the last tick
    /// @param saturated whether more work was waiting all the time than could run
    synchronized void tick(double rate, boolean saturated) {
        if (refused) {
            refused = false;
            change(Math.max(1, limit * 3 / 4));
            resting = PENANCE;
        } else if (resting > 0) {
            resting--;
        } else if (!saturated || rate + last == 0) {
            settling = 1;
        } else if (settling > 0) {
            settling--;
        } else if (before == 0) {
            grow(rate);
        } else {
            judge(rate);
        }
        last = rate;
    }

    private void judge(double rate) {
        trials++;
        tried += rate;
        if (tried / trials >= before * WORTH) {
            rest = SHORT_REST;
            grow(rate);
        } else if (trials == TRIALS) {
            change(previous);
            resting = rest;
            rest = Math.min(LONG_REST, rest * 2);
        }
    }

    private void grow(double rate) {
        before = 0;
        if (limit < most) {
            previous = limit;
            // Doubling reaches a hundred in under two seconds.
            change(Math.min(most, limit * 2));
            // What came in a rush after a pause is no measure.
            before = (rate + last) / 2;
        }
    }

    private void change(int to) {
        limit = to;
        before = 0;
        trials = 0;
        tried = 0;
        settling = 1;
    }
}
