package io.penstock.scheduler.group;

import io.penstock.scheduler.batch.Sequence;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import java.util.function.LongSupplier;
import org.jboss.logging.Logger;

/// The thread that owns a shard group, and the queue by which all others talk to it.
public final class GroupLoop implements AutoCloseable {
    private static final Logger LOG = Logger.getLogger(GroupLoop.class);
    private static final long LONGEST_WAIT = TimeUnit.SECONDS.toNanos(1);
    private static final int MOST_COMMANDS_A_TURN = 1_024;

    private final ShardGroup group;
    private final LongSupplier clock;
    private final Consumer<GroupSnapshot> watcher;
    private final Runnable onFatal;
    private final int submissionCapacity;
    private final BlockingQueue<Consumer<ShardGroup>> mailbox = new LinkedBlockingQueue<>();
    private final AtomicInteger submissions = new AtomicInteger();
    private final Thread thread;

    private volatile boolean closed;
    private volatile GroupSnapshot snapshot;
    private volatile long lastTurn;

    /// @param submissionCapacity sequences that may lie in the mailbox
    /// @param watcher told by the loop thread, after every turn, how the group is
    /// @param onFatal called by the loop thread when it cannot go on
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

    /// Has the owner thread do something. Returns at once.
    public void execute(Consumer<ShardGroup> command) {
        mailbox.add(command);
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

    /// How long ago the loop last came round; about a second at most unless it is stuck.
    public long nanosSinceTurn() {
        return clock.getAsLong() - lastTurn;
    }

    public boolean alive() {
        return thread.isAlive();
    }

    private void run() {
        try {
            while (!closed) {
                turn();
            }
        } catch (InterruptedException e) {
            LOG.debugf(e, "%s ends", thread.getName());
        } catch (RuntimeException | Error e) {
            LOG.errorf(e, "%s cannot go on", thread.getName());
            onFatal.run();
        }
    }

    private void turn() throws InterruptedException {
        Consumer<ShardGroup> command = mailbox.poll(group.nanosToNextTurn(LONGEST_WAIT), TimeUnit.NANOSECONDS);
        try {
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
        lastTurn = clock.getAsLong();
    }

    /// Ends the thread, and waits for that.
    @Override
    public void close() {
        closed = true;
        thread.interrupt();
        try {
            thread.join(TimeUnit.SECONDS.toMillis(5));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
