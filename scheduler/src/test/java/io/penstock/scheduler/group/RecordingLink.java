package io.penstock.scheduler.group;

import io.penstock.api.shard.ShardOrder;
import io.penstock.model.PenstockException;
import java.util.ArrayList;
import java.util.List;

/// Keeps what a rank is sent.
final class RecordingLink implements RankLink {
    final List<ShardOrder> orders = new ArrayList<>();
    PenstockException cut;

    @Override
    public void send(ShardOrder order) {
        orders.add(order);
    }

    @Override
    public void cut(PenstockException reason) {
        cut = reason;
    }
}
