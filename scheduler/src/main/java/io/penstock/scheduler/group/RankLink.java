package io.penstock.scheduler.group;

import io.penstock.api.shard.ShardOrder;
import io.penstock.model.PenstockException;

/// The way to one attached rank. Called by the thread that has the group; no method may block.
public interface RankLink {
    void send(ShardOrder order);

    /// Ends the attachment. The rank may dial again.
    void cut(PenstockException reason);
}
