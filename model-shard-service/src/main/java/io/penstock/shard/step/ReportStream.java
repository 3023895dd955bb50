package io.penstock.shard.step;

import io.penstock.api.shard.ShardReport;

/// One attachment to a scheduler, as the step loop sees it. Safe for use by any thread; does nothing once it
/// has ended.
public interface ReportStream {
    void send(ShardReport report);

    /// The loop has taken an order: room for another.
    void orderTaken();

    /// No reports will follow.
    void complete();
}
