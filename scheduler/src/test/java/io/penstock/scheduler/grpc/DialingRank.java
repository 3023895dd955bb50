package io.penstock.scheduler.grpc;

import io.grpc.Channel;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import io.penstock.api.shard.ShardGroupGrpc;
import io.penstock.api.shard.ShardOrder;
import io.penstock.api.shard.ShardReport;
import io.penstock.scheduler.group.FakeRank;
import java.util.concurrent.CompletableFuture;

/// A fake rank that attaches over gRPC and runs every order as it comes.
final class DialingRank implements StreamObserver<ShardOrder> {
    private final FakeRank rank;
    private final StreamObserver<ShardReport> reports;
    /// How the stream ended.
    final CompletableFuture<Status> ended = new CompletableFuture<>();
    final CompletableFuture<Void> ready = new CompletableFuture<>();
    /// Guarded by this, as `reports` is.
    private boolean hungUp;

    DialingRank(FakeRank rank, Channel channel) {
        this.rank = rank;
        rank.dialled();
        reports = ShardGroupGrpc.newStub(channel).attach(this);
        reports.onNext(ShardReport.newBuilder()
                .setEpoch(rank.epoch())
                .setHello(rank.hello())
                .build());
    }

    @Override
    public synchronized void onNext(ShardOrder order) {
        if (hungUp) {
            return;
        }
        try {
            rank.send(order);
            ShardReport report = rank.run();
            // One rank alone: what it reports, all have reported.
            rank.reportedByAll = report.hasStepDone() ? report.getStepDone().getNumber() : 0;
            reports.onNext(report);
            if (report.hasReady()) {
                ready.complete(null);
            }
        } catch (AssertionError e) {
            ended.completeExceptionally(e);
            reports.onError(Status.ABORTED.withDescription(e.getMessage()).asException());
        }
    }

    @Override
    public void onError(Throwable failure) {
        ended.complete(Status.fromThrowable(failure));
    }

    @Override
    public void onCompleted() {
        ended.complete(Status.OK);
    }

    synchronized void hangUp() {
        hungUp = true;
        reports.onCompleted();
    }
}
