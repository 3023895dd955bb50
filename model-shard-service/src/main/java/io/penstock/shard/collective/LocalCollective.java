package io.penstock.shard.collective;

import java.time.Duration;

/// A group of one: nothing to wait for.
public final class LocalCollective implements Collective {
    @Override
    public int tpRank() {
        return 0;
    }

    @Override
    public int tpSize() {
        return 1;
    }

    @Override
    public int ppStage() {
        return 0;
    }

    @Override
    public int ppSize() {
        return 1;
    }

    @Override
    public void allReduce(float[] values, int offset, int count) {}

    @Override
    public void gather(float[] part, int offset, float[] whole, int wholeOffset, int[] counts) {
        System.arraycopy(part, offset, whole, wholeOffset, counts[0]);
    }

    @Override
    public void sendNext(float[] values, int offset, int count) {
        throw new IllegalStateException("the only stage has no next one");
    }

    @Override
    public void receivePrevious(float[] values, int offset, int count) {
        throw new IllegalStateException("the only stage has no previous one");
    }

    @Override
    public void publishSampled(long number, int[] slots, int[] tokens, int count) {}

    @Override
    public int receiveSampled(long number, int[] slots, int[] tokens) {
        throw new IllegalStateException("the only rank samples for itself");
    }

    @Override
    public Duration timeout() {
        return Duration.ZERO;
    }

    @Override
    public void watchStage(Runnable lost) {
        throw new IllegalStateException("a group of one has nobody to watch");
    }

    @Override
    public long waitedNanos() {
        return 0;
    }

    @Override
    public void close() {}
}
