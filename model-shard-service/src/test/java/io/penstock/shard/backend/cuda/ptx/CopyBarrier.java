package io.penstock.shard.backend.cuda.ptx;

/// An `mbarrier`: a phase ends when all arrivals and all bytes that were expected have come.
final class CopyBarrier {
    private final int count;
    private int pending;
    private long bytes;
    private int phase;
    private final Clocks clocks;
    private final int[] come;
    private final int[] passed;
    /// Of its copies, as [Clocks] has it.
    final int actor;

    CopyBarrier(int count, Clocks clocks) {
        if (count < 1) {
            throw new PtxFault("a barrier for %d arrivals", count);
        }
        this.count = count;
        pending = count;
        this.clocks = clocks;
        actor = clocks.barrierActor();
        come = clocks.nothing();
        passed = clocks.nothing();
    }

    /// When a copy comes that lands now.
    int clock() {
        return phase + 1;
    }

    void expect(int more) {
        bytes += more;
    }

    void arrive(int warp) {
        clocks.arrive(warp, come);
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
            Clocks.join(passed, come);
            passed[actor] = phase;
            pending = count;
        }
    }

    /// Whether the phase of this parity has ended: the one before the current. A warp that hears so goes on behind it.
    boolean passed(int warp, int parity) {
        boolean ended = (phase & 1) != parity;
        if (ended) {
            clocks.pass(warp, passed);
        }
        return ended;
    }

    @Override
    public String toString() {
        return "phase %d, %d of %d arrivals and %d bytes to come".formatted(phase, pending, count, bytes);
    }
}
