package io.penstock.gateway.dispatch;

import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import org.jboss.logging.Logger;

/// One thread that does small things later. What it is given must not block.
final class DispatchTimer implements AutoCloseable {
    private static final Logger LOG = Logger.getLogger(DispatchTimer.class);
    private static final long BEAT_SECONDS = 1;

    private final ScheduledThreadPoolExecutor executor = new ScheduledThreadPoolExecutor(
            1, Thread.ofPlatform().name("dispatch").daemon().factory());
    private volatile long lastBeat = System.nanoTime();

    DispatchTimer() {
        ScheduledFuture<?> _ = executor.scheduleAtFixedRate(
                () -> lastBeat = System.nanoTime(), BEAT_SECONDS, BEAT_SECONDS, TimeUnit.SECONDS);
    }

    /// @throws java.util.concurrent.RejectedExecutionException after [#close]
    void after(long delayNanos, Runnable action) {
        ScheduledFuture<?> _ = executor.schedule(
                () -> {
                    try {
                        action.run();
                    } catch (RuntimeException e) {
                        LOG.error("a delayed action failed", e);
                    }
                },
                delayNanos,
                TimeUnit.NANOSECONDS);
    }

    /// Grows when the thread hangs.
    long nanosSinceBeat() {
        return System.nanoTime() - lastBeat;
    }

    @Override
    public void close() {
        executor.shutdownNow();
    }
}
