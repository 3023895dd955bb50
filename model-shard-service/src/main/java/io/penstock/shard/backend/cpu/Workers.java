package io.penstock.shard.backend.cpu;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.concurrent.locks.LockSupport;

/// A fixed crew of platform threads that run one phase of a step together: the calling thread is worker
/// 0. Between phases a worker spins a little, then parks. Running a phase allocates nothing.
final class Workers implements AutoCloseable {
    /// Some tens of microseconds: phases of a step follow each other faster, steps may not.
    private static final int SPINS = 2_000;

    private static final VarHandle PHASES;
    private static final VarHandle FINISHED;

    static {
        try {
            MethodHandles.Lookup lookup = MethodHandles.lookup();
            PHASES = lookup.findVarHandle(Workers.class, "phases", long.class);
            FINISHED = lookup.findVarHandle(Workers.class, "finished", long.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    /// What all workers do at the same time, each its share.
    @FunctionalInterface
    interface Phase {
        /// @param worker in [0, workers)
        void run(int worker, int workers);
    }

    private final int count;
    private final Thread[] threads;
    private final boolean[] parked;

    // INVARIANT: written by the calling thread before it raises `phases`, read by workers after they
    // saw that.
    private Phase phase;
    private volatile boolean closed;
    private volatile Throwable failure;

    /// Phases begun, ever.
    @SuppressWarnings("unused") // through PHASES
    private volatile long phases;

    /// Shares finished by workers other than 0, ever.
    @SuppressWarnings("unused") // through FINISHED
    private volatile long finished;

    private long begun;

    Workers(int count) {
        if (count < 1) {
            throw new IllegalArgumentException(count + " threads");
        }
        this.count = count;
        threads = new Thread[count];
        parked = new boolean[count];
        for (int worker = 1; worker < count; worker++) {
            int number = worker;
            threads[worker] =
                    Thread.ofPlatform().daemon().name("kernels-" + worker).unstarted(() -> work(number));
        }
        for (int worker = 1; worker < count; worker++) {
            threads[worker].start();
        }
    }

    int count() {
        return count;
    }

    /// Returns when all shares are done. From one thread at a time.
    @SuppressWarnings("ThreadPriorityCheck") // the yield: fairness is all it is for
    void run(Phase next) {
        if (count == 1) {
            next.run(0, 1);
            return;
        }
        phase = next;
        begun++;
        PHASES.setVolatile(this, begun);
        for (int worker = 1; worker < count; worker++) {
            if (isParked(worker)) {
                LockSupport.unpark(threads[worker]);
            }
        }
        Throwable own = null;
        try {
            next.run(0, count);
        } catch (RuntimeException | Error e) {
            own = e;
        }
        long awaited = begun * (count - 1);
        int spins = 0;
        // A worker that has the processor taken from it may keep us waiting for long: then let others
        // run.
        while ((long) FINISHED.getAcquire(this) < awaited) {
            if (++spins < SPINS) {
                Thread.onSpinWait();
            } else {
                Thread.yield();
            }
        }
        Throwable theirs = failure;
        if (own != null || theirs != null) {
            failure = null;
            throw new IllegalStateException("a kernel failed", own != null ? own : theirs);
        }
    }

    private void work(int worker) {
        long seen = 0;
        while (true) {
            long next = awaitPhase(worker, seen);
            if (closed) {
                return;
            }
            seen = next;
            try {
                phase.run(worker, count);
            } catch (RuntimeException | Error e) {
                failure = e;
            }
            FINISHED.getAndAdd(this, 1L);
        }
    }

    private long awaitPhase(int worker, long seen) {
        for (int spin = 0; spin < SPINS; spin++) {
            long now = (long) PHASES.getAcquire(this);
            if (now != seen || closed) {
                return now;
            }
            Thread.onSpinWait();
        }
        setParked(worker, true);
        try {
            while (true) {
                // After the mark, so that a phase begun in between is either seen here or finds the mark.
                long now = (long) PHASES.getVolatile(this);
                if (now != seen || closed) {
                    return now;
                }
                LockSupport.park(this);
            }
        } finally {
            setParked(worker, false);
        }
    }

    private static final VarHandle PARKED = MethodHandles.arrayElementVarHandle(boolean[].class);

    private boolean isParked(int worker) {
        return (boolean) PARKED.getVolatile(parked, worker);
    }

    private void setParked(int worker, boolean value) {
        PARKED.setVolatile(parked, worker, value);
    }

    /// Ends the threads.
    @Override
    public void close() {
        closed = true;
        for (int worker = 1; worker < count; worker++) {
            LockSupport.unpark(threads[worker]);
        }
        boolean interrupted = false;
        for (int worker = 1; worker < count; worker++) {
            while (threads[worker].isAlive()) {
                try {
                    threads[worker].join();
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
