package io.penstock.scheduler.grpc;

import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.penstock.api.ErrorStatus;
import io.penstock.api.shard.ShardOrder;
import io.penstock.api.shard.ShardReport;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.scheduler.group.GroupIdentity;
import io.penstock.scheduler.group.GroupLoop;
import io.penstock.scheduler.group.Groups;
import io.penstock.scheduler.group.Rank;
import io.penstock.scheduler.group.RankLink;
import org.jboss.logging.Logger;

/// One rank's stream. Reports are taken one after another by the group's loop; the next is asked for only
/// when one was dealt with, so a rank cannot flood it.
///
/// After the first report only the thread that has the group touches the observer and `rank`.
final class RankStream implements StreamObserver<ShardReport>, RankLink {
    private static final Logger LOG = Logger.getLogger(RankStream.class);
    private static final int REPORTS_UNDERWAY = 8;

    private final Groups groups;
    private final ServerCallStreamObserver<ShardOrder> observer;
    /// Set by the first report; the transport's calls for one stream come one after another.
    private GroupLoop loop;

    private Rank rank;
    private boolean ended;

    RankStream(Groups groups, ServerCallStreamObserver<ShardOrder> observer) {
        this.groups = groups;
        this.observer = observer;
        observer.disableAutoRequest();
        observer.setOnCancelHandler(() -> lost("its stream broke"));
        observer.request(REPORTS_UNDERWAY);
    }

    @Override
    public void onNext(ShardReport report) {
        if (loop != null) {
            loop.execute(group -> {
                if (rank != null) {
                    group.report(rank, report);
                }
                if (!ended) {
                    observer.request(1);
                }
            });
            return;
        }
        try {
            if (!report.hasHello()) {
                throw new PenstockException(ErrorCategory.BAD_INPUT, "the first report of a stream must be Hello");
            }
            // Checked before a group begins of it: groups stay.
            GroupIdentity identity = GroupIdentity.of(report.getHello());
            loop = groups.named(identity.group());
        } catch (PenstockException e) {
            LOG.warnf("a rank is refused: %s", e.getMessage());
            refuse(e);
            return;
        }
        loop.execute(group -> {
            try {
                rank = group.attach(report.getHello(), report.getEpoch(), this);
                observer.request(1);
            } catch (PenstockException e) {
                LOG.warnf("a rank of group %s is refused: %s", report.getHello().getGroup(), e.getMessage());
                refuse(e);
            }
        });
    }

    @Override
    public void onError(Throwable failure) {
        lost(Status.fromThrowable(failure).toString());
    }

    @Override
    public void onCompleted() {
        lost("it ended its stream");
    }

    private void lost(String why) {
        if (loop == null) {
            refuse(new PenstockException(ErrorCategory.BAD_INPUT, "the stream ended before Hello"));
            return;
        }
        loop.execute(group -> {
            if (rank != null) {
                group.detach(rank, why);
            }
            if (!ended) {
                ended = true;
                if (!observer.isCancelled()) {
                    observer.onCompleted();
                }
            }
        });
    }

    @Override
    public void send(ShardOrder order) {
        if (!ended) {
            observer.onNext(order);
        }
    }

    @Override
    public void cut(PenstockException reason) {
        end(ErrorStatus.toStatus(reason));
    }

    /// A rank that does not fit is told so by a status that says: do not try again as you are.
    private void refuse(PenstockException why) {
        if (why.category() == ErrorCategory.BAD_INPUT) {
            Metadata trailers = new Metadata();
            trailers.put(ErrorStatus.CATEGORY, why.category().name());
            end(Status.FAILED_PRECONDITION.withDescription(why.getMessage()).asRuntimeException(trailers));
        } else {
            end(ErrorStatus.toStatus(why));
        }
    }

    private void end(RuntimeException status) {
        if (!ended) {
            ended = true;
            if (!observer.isCancelled()) {
                observer.onError(status);
            }
        }
    }
}
