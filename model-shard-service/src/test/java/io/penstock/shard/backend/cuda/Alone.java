package io.penstock.shard.backend.cuda;

import io.penstock.shard.collective.Collective;

/// The wires of a group of one.
final class Alone implements Collective {
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
        throw new AssertionError("there is no next stage");
    }

    @Override
    public void receivePrevious(float[] values, int offset, int count) {
        throw new AssertionError("there is no previous stage");
    }

    @Override
    public void publishSampled(long number, int[] slots, int[] tokens, int count) {}

    @Override
    public int receiveSampled(long number, int[] slots, int[] tokens) {
        throw new AssertionError("there is no other rank");
    }

    @Override
    public long waitedNanos() {
        return 0;
    }

    @Override
    public void close() {}
}
