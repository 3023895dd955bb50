package io.penstock.shard.backend.cuda.ptx;

/// An `mbarrier`: a phase ends when all arrivals and all bytes that were expected have come.
final class CopyBarrier {
    private final int count;
    private int pending;
    private long bytes;
    private int phase;

    CopyBarrier(int count) {
        if (count < 1) {
            throw new PtxFault("a barrier for %d arrivals", count);
        }
        this.count = count;
        pending = count;
    }

    void expect(int more) {
        bytes += more;
    }

    void arrive() {
        if (pending == 0) {
            throw new PtxFault("more than %d arrivals in phase %d of a barrier", count, phase);
        }
        pending--;
        complete();
    }

    void landed(int some) {
        bytes -= some;
        complete();
    }

    private void complete() {
        if (pending == 0 && bytes == 0) {
            phase++;
            pending = count;
        }
    }

    /// Whether the phase of this parity has ended: the one before the current.
    boolean passed(int parity) {
        return (phase & 1) != parity;
    }

    @Override
    public String toString() {
        return "phase %d, %d of %d arrivals and %d bytes to come".formatted(phase, pending, count, bytes);
    }
}
