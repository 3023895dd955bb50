package io.penstock.scheduler.group;

import io.penstock.api.inference.GroupState;
import io.penstock.api.shard.ShardReport;
import io.penstock.scheduler.telemetry.SchedulingEvents;
import java.util.ArrayList;
import java.util.List;

/// A shard group and its fake ranks in one thread, on a clock that stands still unless it is set.
public final class FakeCluster {
    public static final long SECOND = 1_000_000_000L;

    public long now;
    public final List<FakeRank> ranks = new ArrayList<>();
    public final GroupLimits limits;
    public final int stages;
    public ShardGroup group;
    private final SchedulingEvents events;

    public FakeCluster(GroupLimits limits, int tpSize, int stages, int kvBlocks, int context) {
        this(limits, tpSize, stages, kvBlocks, context, SchedulingEvents.NONE);
    }

    public FakeCluster(GroupLimits limits, int tpSize, int stages, int kvBlocks, int context, SchedulingEvents events) {
        this.events = events;
        this.limits = limits;
        this.stages = stages;
        for (int stage = 0; stage < stages; stage++) {
            for (int tpRank = 0; tpRank < tpSize; tpRank++) {
                ranks.add(new FakeRank("g", "fake", tpRank, tpSize, stage, stages, kvBlocks, context));
            }
        }
        restartScheduler();
    }

    /// The defaults, with the sizes that matter to a test.
    public static GroupLimits limits(int blockSize, int maxStepTokens, int maxSequences, int queue) {
        return new GroupLimits(
                blockSize, maxStepTokens, maxSequences, queue, 2, SECOND, 10 * SECOND, 5 * SECOND, 60 * SECOND, 3);
    }

    /// A new scheduler, to which nobody is attached.
    public void restartScheduler() {
        group = new ShardGroup("g", limits, () -> now, events);
        ranks.forEach(rank -> rank.attachment = null);
    }

    public void attach(FakeRank rank) {
        rank.dialled();
        rank.attachment = group.attach(rank.hello().build(), rank.epoch(), rank);
    }

    public void attachAll() {
        ranks.forEach(this::attach);
        group.turn();
    }

    /// All ranks attached and ready.
    public FakeCluster serving() {
        attachAll();
        ranks.forEach(rank -> report(rank, rank.run()));
        if (group.snapshot().state() != GroupState.GROUP_STATE_SERVING) {
            throw new AssertionError(group.snapshot());
        }
        return this;
    }

    public void submit(FakeClient client) {
        group.submit(client.begin());
        group.turn();
    }

    public void cancel(FakeClient client) {
        client.cancelled = true;
        group.cancel(client.sequence);
        group.turn();
    }

    /// The rank's stream breaks.
    public void lose(FakeRank rank) {
        if (rank.attachment != null) {
            group.detach(rank.attachment, "on purpose");
            rank.attachment = null;
            rank.dialled();
        }
        group.turn();
    }

    public void report(FakeRank rank, ShardReport report) {
        if (report.hasStepDone()) {
            rank.lastReported = report.getStepDone().getNumber();
        } else {
            rank.lastReported = 0;
        }
        long all = ranks.stream().mapToLong(each -> each.lastReported).min().orElseThrow();
        ranks.forEach(each -> each.reportedByAll = all);
        group.report(rank.attachment, report);
        group.turn();
    }

    /// Has each rank run its oldest order, if it has one.
    ///
    /// @return whether any had
    public boolean step() {
        boolean any = false;
        for (FakeRank rank : ranks) {
            if (rank.attachment != null && rank.hasOrders()) {
                report(rank, rank.run());
                any = true;
            }
        }
        return any;
    }

    /// Runs until nothing is left to do.
    public void run() {
        while (step()) {
            now += 1_000_000;
            group.turn();
        }
    }
}
