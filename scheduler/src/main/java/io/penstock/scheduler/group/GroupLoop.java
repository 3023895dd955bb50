package io.penstock.scheduler.group;

import io.penstock.scheduler.batch.Sequence;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;
import java.util.function.LongSupplier;
import org.jboss.logging.Logger;

/// Who may touch a shard group, and the queue by which all others talk to it.
///
/// One thread at a time has the group: whoever brings a command when nobody has it, and the group's own
/// thread when something is due. So a step that is reported is answered where the report arrived: a
/// thread between would be woken twice a token, and on a machine whose processors all compute each wake
/// costs the ranks their pace.
public final class GroupLoop implements AutoCloseable {
    private static final Logger LOG = Logger.getLogger(GroupLoop.class);
    private static final long LONGEST_WAIT = TimeUnit.SECONDS.toNanos(1);
    /// While another thread has the group, what is due is seen to by that thread's turn.
    private static final long WAIT_FOR_OTHERS = TimeUnit.MILLISECONDS.toNanos(1);
    private static final long CLOSE_PATIENCE = TimeUnit.SECONDS.toNanos(5);
    private static final int MOST_COMMANDS_A_TURN = 1_024;
    /// After so many turns one after another a caller leaves the rest to the group's thread.
    private static final int MOST_TURNS = 4;

    private final ShardGroup group;
    private final LongSupplier clock;
    private final Consumer<GroupSnapshot> watcher;
    private final Runnable onFatal;
    private final int submissionCapacity;
    private final Queue<Consumer<ShardGroup>> mailbox = new ConcurrentLinkedQueue<>();
    private final AtomicInteger submissions = new AtomicInteger();
    // INVARIANT: the group, and the fields written by a turn, are touched only by the thread that set this.
    private final AtomicBoolean taken = new AtomicBoolean();
    private final Thread thread;

    private volatile boolean closed;
    private volatile boolean failed;
    private volatile GroupSnapshot snapshot;
    private volatile long lastTurn;
    /// When something is due unless something happens before, on the clock.
    private volatile long due;

    /// @param submissionCapacity sequences that may lie in the mailbox
    /// @param watcher told, after every turn, how the group is
    /// @param onFatal called once the group cannot go on
    public GroupLoop(
            String name,
            ShardGroup group,
            LongSupplier clock,
            int submissionCapacity,
            Consumer<GroupSnapshot> watcher,
            Runnable onFatal) {
        this.group = group;
        this.clock = clock;
        this.watcher = watcher;
        this.onFatal = onFatal;
        this.submissionCapacity = submissionCapacity;
        snapshot = group.snapshot();
        lastTurn = clock.getAsLong();
        thread = Thread.ofPlatform().name("group-" + name).daemon().start(this::run);
    }

    /// Has something done to the group: by the calling thread, or by the one that has the group now. Does
    /// not wait for another thread.
    public void execute(Consumer<ShardGroup> command) {
        mailbox.add(command);
        // INVARIANT: who gives the group back looks into the mailbox after that, so that no command is left.
        for (int turns = 0; !mailbox.isEmpty() && !closed; turns++) {
            if (turns == MOST_TURNS) {
                LockSupport.unpark(thread);
                return;
            }
            if (!takeTurn()) {
                return;
            }
        }
    }

    /// @return false if too many are on their way already
    public boolean submit(Sequence sequence) {
        if (submissions.incrementAndGet() > submissionCapacity) {
            submissions.decrementAndGet();
            return false;
        }
        execute(owned -> {
            submissions.decrementAndGet();
            owned.submit(sequence);
        });
        return true;
    }

    public GroupSnapshot snapshot() {
        return snapshot;
    }

    /// How long ago the last turn ended; about a second at most unless one is stuck.
    public long nanosSinceTurn() {
        return clock.getAsLong() - lastTurn;
    }

    public boolean alive() {
        return !failed && thread.isAlive();
    }

    private void run() {
        while (!closed) {
            if (takeTurn()) {
                if (mailbox.isEmpty()) {
                    // Who sets an earlier time unparks, be it before this parks.
                    LockSupport.parkNanos(this, due - clock.getAsLong());
                }
            } else {
                LockSupport.parkNanos(this, Math.max(WAIT_FOR_OTHERS, due - clock.getAsLong()));
            }
        }
    }

    /// @return false if another thread has the group: it will see what is in the mailbox
    private boolean takeTurn() {
        if (!taken.compareAndSet(false, true)) {
            return false;
        }
        try {
            turn();
        } catch (RuntimeException | Error e) {
            failed = true;
            closed = true;
            LOG.errorf(e, "%s cannot go on", thread.getName());
            onFatal.run();
        } finally {
            taken.set(false);
        }
        return true;
    }

    private void turn() {
        try {
            Consumer<ShardGroup> command = mailbox.poll();
            for (int n = 0; command != null && n < MOST_COMMANDS_A_TURN; n++) {
                command.accept(group);
                command = n + 1 < MOST_COMMANDS_A_TURN ? mailbox.poll() : null;
            }
            group.turn();
        } catch (RuntimeException e) {
            LOG.errorf(e, "%s: a defect; all sequences are failed and the group forms anew", thread.getName());
            group.reset();
        }
        snapshot = group.snapshot();
        watcher.accept(snapshot);
        long now = clock.getAsLong();
        long next = now + group.nanosToNextTurn(LONGEST_WAIT);
        boolean sooner = next < due;
        due = next;
        lastTurn = now;
        if (sooner) {
            LockSupport.unpark(thread);
        }
    }

    /// Ends the thread, and waits until no other has the group.
    @Override
    public void close() {
        closed = true;
        LockSupport.unpark(thread);
        try {
            thread.join(TimeUnit.NANOSECONDS.toMillis(CLOSE_PATIENCE));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        long deadline = System.nanoTime() + CLOSE_PATIENCE;
        while (!taken.compareAndSet(false, true) && System.nanoTime() < deadline) {
            LockSupport.parkNanos(this, WAIT_FOR_OTHERS);
        }
    }
}
