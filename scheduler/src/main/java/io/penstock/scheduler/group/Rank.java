package io.penstock.scheduler.group;

import io.penstock.api.shard.Hello;
import io.penstock.api.shard.ShardOrder;

/// One rank's attachment, from its Hello to its stream's end. Owned by whoever has the group.
public final class Rank {
    private static final long NONE = Long.MIN_VALUE;

    final Hello hello;
    final int index;
    final RankLink link;

    boolean ready;
    int kvBlocks;
    /// Of its weights; both 0 before it has said.
    long bytesLoaded;
    long bytesToLoad;
    int firstLayer;
    int layerCount;
    /// Steps of the epoch that the rank has reported: all up to this one.
    long reported;
    /// Has reported a failure in the epoch that it was last configured for, so is alive and waits.
    boolean failed;
    /// Had not reported all steps when another rank's failure ended the epoch.
    boolean late;

    private long unansweredSince = NONE;

    Rank(Hello hello, RankLink link) {
        this.hello = hello;
        this.link = link;
        index = hello.getPpStage() * hello.getTpSize() + hello.getTpRank();
        firstLayer = hello.getLoadedFirstLayer();
        layerCount = hello.getLoadedLayerCount();
    }

    void beginEpoch() {
        ready = false;
        failed = false;
        late = false;
        reported = 0;
    }

    void send(ShardOrder order, long now) {
        if (unansweredSince == NONE) {
            unansweredSince = now;
        }
        link.send(order);
    }

    void heard() {
        unansweredSince = NONE;
    }

    /// Nanoseconds that an order has waited for any report; 0: none waits.
    long silentFor(long now) {
        return unansweredSince == NONE ? 0 : now - unansweredSince;
    }

    boolean samples() {
        return hello.getTpRank() == 0 && hello.getPpStage() == hello.getPpSize() - 1;
    }

    @Override
    public String toString() {
        return "rank %d of stage %d (%s, instance %s)"
                .formatted(hello.getTpRank(), hello.getPpStage(), hello.getDevice(), hello.getInstance());
    }
}
