package io.penstock.scheduler.group;

import io.penstock.api.shard.ShardOrder;
import io.penstock.api.shard.ShardReport;
import io.penstock.model.PenstockException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/// A fake rank with a thread of its own, attached to a group's loop.
public final class RunningRank implements RankLink, AutoCloseable {
    private final FakeRank fake;
    private final GroupLoop loop;
    private final ExecutorService thread = Executors.newSingleThreadExecutor();
    private volatile boolean frozen;
    private volatile Rank attachment;

    public RunningRank(FakeRank fake, GroupLoop loop) {
        this.fake = fake;
        this.loop = loop;
        loop.execute(group -> attachment = group.attach(fake.hello().build(), 0, this));
    }

    /// From now on the rank does nothing that it is told.
    public void freeze() {
        frozen = true;
    }

    @Override
    public void send(ShardOrder order) {
        if (frozen) {
            return;
        }
        thread.execute(() -> {
            if (frozen) {
                return;
            }
            fake.send(order);
            ShardReport report = fake.run();
            fake.reportedByAll = report.hasStepDone() ? report.getStepDone().getNumber() : 0;
            loop.execute(group -> group.report(attachment, report));
        });
    }

    @Override
    public void cut(PenstockException reason) {
        frozen = true;
    }

    @Override
    public void close() {
        frozen = true;
        thread.shutdown();
    }
}
