package io.penstock.shard.step;

import io.penstock.api.shard.Configure;
import io.penstock.api.shard.ShardOrder;
import io.penstock.api.shard.ShardReport;
import io.penstock.api.shard.Step;
import io.penstock.shard.backend.Backend;
import io.penstock.shard.collective.tcp.PeerListener;
import io.penstock.shard.weights.Weights;
import java.time.Duration;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/// One rank, and the scheduler's end of its stream.
final class LoopRank implements AutoCloseable {
    private static final long LIMIT_SECONDS = 60;

    final RankPlace place;
    final Backend backend;
    final PeerListener listener;
    final StepLoop loop;
    final CompletableFuture<Throwable> fatal = new CompletableFuture<>();
    Stream stream;

    LoopRank(RankPlace place, Weights weights, Backend backend) {
        this.place = place;
        this.backend = backend;
        listener = PeerListener.bind("127.0.0.1", 0, "life-" + System.nanoTime());
        loop = new StepLoop(place, weights, backend, listener, Duration.ofNanos(20_000), new Silent(), fatal::complete);
        loop.start();
        attach();
    }

    HashBackend hash() {
        return (HashBackend) backend;
    }

    /// A new stream, as after a dial.
    void attach() {
        stream = new Stream();
        loop.attached(stream);
    }

    void configure(long epoch, Configure configure) {
        loop.offer(
                stream,
                ShardOrder.newBuilder().setEpoch(epoch).setConfigure(configure).build());
    }

    void step(long epoch, Step.Builder step) {
        loop.offer(stream, ShardOrder.newBuilder().setEpoch(epoch).setStep(step).build());
    }

    /// The next report that is not progress.
    ShardReport report() {
        try {
            long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(LIMIT_SECONDS);
            while (true) {
                ShardReport report = stream.reports.poll(deadline - System.nanoTime(), TimeUnit.NANOSECONDS);
                if (report == null) {
                    throw new AssertionError("%s: no report after %d s".formatted(place, LIMIT_SECONDS));
                }
                if (!report.hasLoadProgress()) {
                    return report;
                }
            }
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    @Override
    public void close() {
        loop.close();
        listener.close();
        backend.close();
    }

    static final class Stream implements ReportStream {
        final BlockingQueue<ShardReport> reports = new LinkedBlockingQueue<>();
        final CompletableFuture<Void> completed = new CompletableFuture<>();

        @Override
        public void send(ShardReport report) {
            reports.add(report);
        }

        @Override
        public void orderTaken() {}

        @Override
        public void complete() {
            completed.complete(null);
        }
    }

    private static final class Silent implements StepObserver {
        @Override
        public void configured(long epoch, int kvBlocks, int blockSize) {}

        @Override
        public void ended(long epoch) {}

        @Override
        public void stepDone(Step step, int tokens, int sampled, long startNanos, long endNanos, long waitNanos) {}

        @Override
        public void failed(long epoch, long step, String cause, String message) {}
    }
}
