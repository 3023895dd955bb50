package io.penstock.scheduler.group;

import io.penstock.api.shard.Failure;
import io.penstock.api.shard.Hello;
import io.penstock.api.shard.ShardOrder;
import io.penstock.api.shard.StepDone;
import io.penstock.model.ErrorCategory;
import io.penstock.scheduler.batch.StepRecord;

/// One rank's attachment, from its Hello to its stream's end. Owned by whoever has the group.
public final class Rank {
    private static final long NONE = Long.MIN_VALUE;
    /// Characters of a rank's reason that are passed on: it has to fit into the head of an HTTP/2 answer.
    private static final int MOST_OF_A_REASON = 500;

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

    private boolean samples() {
        return hello.getTpRank() == 0 && hello.getPpStage() == hello.getPpSize() - 1;
    }

    /// Why the rank can never obey its Configure, for clients too. What is bad input to a rank before it is ready
    /// is the Configure, or the checkpoint that it should load.
    ///
    /// @return null: the failure is another
    String refusal(Failure failure) {
        if (ready || !failure.getCategory().equals(ErrorCategory.BAD_INPUT.name())) {
            return null;
        }
        String reason = failure.getMessage();
        return "rank %d of stage %d refuses its configuration: %s"
                .formatted(
                        hello.getTpRank(),
                        hello.getPpStage(),
                        reason.substring(0, Math.min(reason.length(), MOST_OF_A_REASON)));
    }

    /// Checks what the rank says it sampled, and keeps it.
    ///
    /// @return what is wrong; null if it is what the step asked for
    String flaw(StepRecord step, StepDone done) {
        if (!samples()) {
            return done.getSampledCount() == 0 ? null : "sampled, but is not the rank to";
        }
        int vocabulary = hello.getShape().getVocabularySize();
        for (int i = 0; i < done.getSampledCount(); i++) {
            int id = done.getSampled(i).getToken().getId();
            if (id < 0 || id >= vocabulary) {
                return "sampled token %d in step %d, the vocabulary has %d".formatted(id, step.number(), vocabulary);
            }
        }
        return step.sample(done.getSampledList())
                ? null
                : "sampled %d tokens in step %d, which asked for %d or for other slots"
                        .formatted(done.getSampledCount(), step.number(), step.sampling());
    }

    @Override
    public String toString() {
        return "rank %d of stage %d (%s, instance %s)"
                .formatted(hello.getTpRank(), hello.getPpStage(), hello.getDevice(), hello.getInstance());
    }
}
