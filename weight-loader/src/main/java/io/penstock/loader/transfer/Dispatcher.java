package io.penstock.loader.transfer;

import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.Optional;
import java.util.PriorityQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;

/// Which GETs run: as many at once as pay, urgent wishes first, then in the order of their coming.
final class Dispatcher implements AutoCloseable {
    private static final Logger LOG = System.getLogger(Dispatcher.class.getName());
    private static final long TICK_MILLIS = 200;
    private static final long CLOSE_SECONDS = 10;

    private final TransferSettings settings;
    private final Holding holding;
    private final Pace pace = new Pace();
    private final Parallelism parallelism;
    private final ExecutorService threads = Executors.newThreadPerTaskExecutor(
            Thread.ofVirtual().name("transfer-", 0).factory());
    private final ScheduledExecutorService clock = Executors.newSingleThreadScheduledExecutor(
            Thread.ofPlatform().name("transfer-pace").daemon().factory());
    private final ScheduledFuture<?> ticking;

    /// Guards the fields below. Taken after a file's own lock, never before it.
    private final ReentrantLock lock = new ReentrantLock();

    private final PriorityQueue<Work> queue = new PriorityQueue<>();
    private long submitted;
    private int running;
    /// Work that is out of the queue only while its next part is cut.
    private int cutting;
    private boolean starved;
    private boolean closed;

    /// Keeps a file's transfer open while something is to be done with it.
    interface Holding {
        void retain(FileTransfer transfer);

        void release(FileTransfer transfer);
    }

    Dispatcher(TransferSettings settings, Holding holding) {
        this.settings = settings;
        this.holding = holding;
        this.parallelism = new Parallelism(settings.parallel());
        ticking = clock.scheduleWithFixedDelay(this::tick, TICK_MILLIS, TICK_MILLIS, TimeUnit.MILLISECONDS);
    }

    Pace pace() {
        return pace;
    }

    /// @return GETs that may run at once now
    int limit() {
        return parallelism.limit();
    }

    /// A wish whose missing pieces are still to be cut into parts: urgent ones first, then in the order of
    /// submission.
    private record Work(boolean urgent, long order, FileTransfer transfer, Asking asking) implements Comparable<Work> {
        @Override
        public int compareTo(Work other) {
            int byUrgency = Boolean.compare(other.urgent, urgent);
            return byUrgency != 0 ? byUrgency : Long.compare(order, other.order);
        }
    }

    private void tick() {
        try {
            boolean saturated;
            lock.lock();
            try {
                // Where work is left, as much runs as may: see dispatch.
                saturated = !starved && (!queue.isEmpty() || cutting > 0);
                starved = false;
            } finally {
                lock.unlock();
            }
            parallelism.tick(pace.tick(), saturated);
            dispatch();
        } catch (RuntimeException e) {
            // The clock would stop without a word.
            LOG.log(Level.ERROR, "the pace of transfers is not adapted", e);
        }
    }

    /// Queues what a wish lacks. Under the file's lock.
    void submit(FileTransfer transfer, Asking asking) {
        holding.retain(transfer);
        lock.lock();
        try {
            queue.add(new Work(asking.isUrgent(), submitted++, transfer, asking));
        } finally {
            lock.unlock();
        }
        dispatch();
    }

    /// Starts as many GETs as may run. Each cuts its own part when it begins, so that parts have the
    /// size that is right by then; what is left goes back to its place in the queue first.
    private void dispatch() {
        lock.lock();
        try {
            while (!closed && running < parallelism.limit() && !queue.isEmpty()) {
                Work work = queue.remove();
                running++;
                cutting++;
                threads.execute(() -> run(work));
            }
            starved |= queue.isEmpty() && cutting == 0;
        } finally {
            lock.unlock();
        }
    }

    private void run(Work work) {
        FileTransfer transfer = work.transfer();
        try {
            Optional<FileTransfer.Part> part = Optional.empty();
            try {
                part = transfer.cut(work.asking());
                if (part.isPresent()) {
                    holding.retain(transfer);
                }
            } finally {
                wasCut(work, part.isPresent());
            }
            if (part.isPresent()) {
                try {
                    transfer.fetch(part.get(), work.asking());
                } finally {
                    holding.release(transfer);
                }
            } else {
                holding.release(transfer);
            }
        } finally {
            finished();
        }
    }

    private void finished() {
        lock.lock();
        try {
            running--;
        } finally {
            lock.unlock();
        }
        dispatch();
    }

    private void wasCut(Work work, boolean mayHaveMore) {
        lock.lock();
        try {
            cutting--;
            if (mayHaveMore) {
                queue.add(work);
            }
        } finally {
            lock.unlock();
        }
        dispatch();
    }

    /// Runs something that is no GET, soon.
    void execute(FileTransfer transfer, Runnable body) {
        holding.retain(transfer);
        threads.execute(() -> {
            try {
                body.run();
            } finally {
                holding.release(transfer);
            }
        });
    }

    /// @return GETs that run
    int running() {
        lock.lock();
        try {
            return running;
        } finally {
            lock.unlock();
        }
    }

    /// @param remaining bytes of the file that nobody fetches yet
    int piecesAPart(int pieceSize, long remaining) {
        return (int) Math.max(1, pace.partBytes(settings, remaining, parallelism.limit()) / pieceSize);
    }

    /// The service said that it is too much.
    void refused() {
        parallelism.refused();
    }

    /// Stops at once; journals say what has arrived.
    @Override
    public void close() {
        lock.lock();
        try {
            closed = true;
        } finally {
            lock.unlock();
        }
        ticking.cancel(false);
        clock.shutdownNow();
        threads.shutdownNow();
        try {
            // Bytes on their way to a file must not meet one that is closed.
            if (!threads.awaitTermination(CLOSE_SECONDS, TimeUnit.SECONDS)) {
                LOG.log(Level.WARNING, "transfers do not end within {0} s", CLOSE_SECONDS);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
