package io.penstock.bench.cpu;

import io.penstock.shard.collective.Collective;

/// A group of one: nothing to exchange, and nobody asks.
record Alone() implements Collective {
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
    public void allReduce(float[] values, int offset, int count) {
        throw new AssertionError("a rank alone reduces nothing");
    }

    @Override
    public void gather(float[] part, int offset, float[] whole, int wholeOffset, int[] counts) {
        throw new AssertionError("a rank alone gathers nothing");
    }

    @Override
    public void sendNext(float[] values, int offset, int count) {
        throw new AssertionError("a rank alone has no next stage");
    }

    @Override
    public void receivePrevious(float[] values, int offset, int count) {
        throw new AssertionError("a rank alone has no previous stage");
    }

    @Override
    public void publishSampled(long number, int[] slots, int[] tokens, int count) {
        throw new AssertionError("a rank alone publishes nothing");
    }

    @Override
    public int receiveSampled(long number, int[] slots, int[] tokens) {
        throw new AssertionError("a rank alone receives nothing");
    }

    @Override
    public long waitedNanos() {
        return 0;
    }

    @Override
    public void close() {}
}
