package io.penstock.shard.backend.cpu;

import io.penstock.shard.collective.Collective;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.BrokenBarrierException;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/// A group of ranks in this process, one thread each. Messages are copied, as wires do.
final class LocalGroup {
    private static final int SECONDS = 60;

    private final int tpSize;
    private final int ppSize;
    private final List<CyclicBarrier> barriers = new ArrayList<>();
    /// What each rank of a stage has put on the table for its peers.
    private final float[][][] shared;

    /// To stage s, for rank r.
    private final List<List<BlockingQueue<float[]>>> activations = new ArrayList<>();

    private final List<BlockingQueue<Sampled>> sampled = new ArrayList<>();

    private record Sampled(long number, int[] slots, int[] tokens) {}

    LocalGroup(int tpSize, int ppSize) {
        this.tpSize = tpSize;
        this.ppSize = ppSize;
        shared = new float[ppSize][tpSize][];
        for (int stage = 0; stage < ppSize; stage++) {
            barriers.add(new CyclicBarrier(tpSize));
            List<BlockingQueue<float[]>> wires = new ArrayList<>();
            for (int rank = 0; rank < tpSize; rank++) {
                wires.add(new ArrayBlockingQueue<>(4));
                sampled.add(new ArrayBlockingQueue<>(4));
            }
            activations.add(wires);
        }
    }

    Collective rank(int tpRank, int ppStage) {
        return new Member(tpRank, ppStage);
    }

    private final class Member implements Collective {
        private final int tpRank;
        private final int ppStage;

        Member(int tpRank, int ppStage) {
            this.tpRank = tpRank;
            this.ppStage = ppStage;
        }

        @Override
        public int tpRank() {
            return tpRank;
        }

        @Override
        public int tpSize() {
            return tpSize;
        }

        @Override
        public int ppStage() {
            return ppStage;
        }

        @Override
        public int ppSize() {
            return ppSize;
        }

        @Override
        public void allReduce(float[] values, int offset, int count) {
            share(values, offset, count);
            for (int i = 0; i < count; i++) {
                float sum = 0;
                for (int rank = 0; rank < tpSize; rank++) {
                    sum += shared[ppStage][rank][i];
                }
                values[offset + i] = sum;
            }
            meet();
        }

        @Override
        public void gather(float[] part, int offset, float[] whole, int wholeOffset, int[] counts) {
            share(part, offset, counts[tpRank]);
            if (tpRank == 0) {
                int at = wholeOffset;
                for (int rank = 0; rank < tpSize; rank++) {
                    System.arraycopy(shared[ppStage][rank], 0, whole, at, counts[rank]);
                    at += counts[rank];
                }
            }
            meet();
        }

        private void share(float[] values, int offset, int count) {
            float[] copy = new float[count];
            System.arraycopy(values, offset, copy, 0, count);
            shared[ppStage][tpRank] = copy;
            meet();
        }

        private void meet() {
            try {
                barriers.get(ppStage).await(SECONDS, TimeUnit.SECONDS);
            } catch (InterruptedException | BrokenBarrierException | TimeoutException e) {
                throw new AssertionError("rank %d of stage %d waits alone".formatted(tpRank, ppStage), e);
            }
        }

        @Override
        public void sendNext(float[] values, int offset, int count) {
            float[] copy = new float[count];
            System.arraycopy(values, offset, copy, 0, count);
            put(activations.get(ppStage + 1).get(tpRank), copy);
        }

        @Override
        public void receivePrevious(float[] values, int offset, int count) {
            float[] sent = take(activations.get(ppStage).get(tpRank));
            if (sent.length != count) {
                throw new AssertionError("%d floats came where %d are wanted".formatted(sent.length, count));
            }
            System.arraycopy(sent, 0, values, offset, count);
        }

        @Override
        public void publishSampled(long number, int[] slots, int[] tokens, int count) {
            for (int i = 0; i < sampled.size(); i++) {
                if (i != (ppSize - 1) * tpSize) {
                    int[] slotsCopy = Arrays.copyOf(slots, count);
                    put(sampled.get(i), new Sampled(number, slotsCopy, Arrays.copyOf(tokens, count)));
                }
            }
        }

        @Override
        public int receiveSampled(long number, int[] slots, int[] tokens) {
            Sampled next = take(sampled.get(ppStage * tpSize + tpRank));
            if (next.number() != number) {
                throw new AssertionError("step %d came where %d was asked for".formatted(next.number(), number));
            }
            System.arraycopy(next.slots(), 0, slots, 0, next.slots().length);
            System.arraycopy(next.tokens(), 0, tokens, 0, next.tokens().length);
            return next.slots().length;
        }

        @Override
        public Duration timeout() {
            return Duration.ofSeconds(SECONDS);
        }

        @Override
        public void watchStage(Runnable lost) {
            throw new IllegalStateException("no device of this group can be met on");
        }

        @Override
        public long waitedNanos() {
            return 0;
        }

        @Override
        public void close() {}
    }

    private static <T> void put(BlockingQueue<T> queue, T item) {
        try {
            if (!queue.offer(item, SECONDS, TimeUnit.SECONDS)) {
                throw new AssertionError("nobody takes what was sent");
            }
        } catch (InterruptedException e) {
            throw new AssertionError("interrupted", e);
        }
    }

    private static <T> T take(BlockingQueue<T> queue) {
        try {
            T item = queue.poll(SECONDS, TimeUnit.SECONDS);
            if (item == null) {
                throw new AssertionError("nothing was sent");
            }
            return item;
        } catch (InterruptedException e) {
            throw new AssertionError("interrupted", e);
        }
    }
}
