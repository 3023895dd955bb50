package io.penstock.shard.step;

import io.penstock.api.shard.Step;

/// Told of each step by the step loop's thread, which waits for it: count, do not work.
public interface StepObserver {
    /// An epoch begins.
    void configured(long epoch, int kvBlocks, int blockSize);

    /// The epoch is over: its sequences are gone.
    void ended(long epoch);

    /// @param startNanos, endNanos on the monotonic clock
    /// @param waitNanos of that time spent waiting for peers
    /// @param sampled tokens sampled by this rank
    void stepDone(Step step, int tokens, int sampled, long startNanos, long endNanos, long waitNanos);

    /// @param step number, or 0
    void failed(long epoch, long step, String cause, String message);
}
