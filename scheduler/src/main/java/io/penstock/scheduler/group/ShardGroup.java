package io.penstock.scheduler.group;

import io.penstock.api.inference.GroupState;
import io.penstock.api.shard.Configure;
import io.penstock.api.shard.Failure;
import io.penstock.api.shard.FailureCause;
import io.penstock.api.shard.Hello;
import io.penstock.api.shard.LoadProgress;
import io.penstock.api.shard.Ready;
import io.penstock.api.shard.ShardOrder;
import io.penstock.api.shard.ShardReport;
import io.penstock.api.shard.StepDone;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.scheduler.batch.Batch;
import io.penstock.scheduler.batch.Sequence;
import io.penstock.scheduler.batch.StepPace;
import io.penstock.scheduler.batch.StepRecord;
import io.penstock.scheduler.telemetry.SchedulingEvents;
import java.util.function.LongSupplier;
import org.jboss.logging.Logger;

/// The ranks that serve one copy of a model together: who is attached, which epoch it is, what is in
/// flight.
///
/// An epoch begins with a Configure to every rank, once all are attached, and serves once all are Ready.
/// It ends with the first rank that is lost or reports a failure. Then all that ran goes back to the queue
/// with its tokens, the ranks that remain keep their weights, and the next epoch begins when all are
/// attached again. Where a rank says that it can never obey its Configure, the next epoch waits until the
/// ranks have changed: the same ones would refuse again.
///
/// Owned by one thread at a time, as [GroupLoop] deals it out. Nothing here blocks; what depends on time is
/// done by [#turn].
public final class ShardGroup {
    private static final Logger LOG = Logger.getLogger(ShardGroup.class);

    /// More KV blocks than any device holds; bounds what a report can make this process allocate.
    private static final int MOST_BLOCKS = 1 << 24;

    private static final long LAST_EPOCH = Long.MAX_VALUE / 2;
    private static final long FIRST_REFORM_DELAY = 50_000_000;
    private static final long LONGEST_REFORM_DELAY = 5_000_000_000L;

    private final String name;
    private final GroupLimits limits;
    private final LongSupplier clock;
    private final SchedulingEvents events;
    private final SequenceDesk desk;
    private final StepPace pace;

    /// Null until a rank has said what it is.
    private RankTable ranks;
    private GroupState state = GroupState.GROUP_STATE_FORMING;
    private long epoch;
    private Batch batch;

    /// Failed attempts since a step last completed.
    private int setbacks;
    private long formNotBefore = Long.MIN_VALUE;
    /// Until then ranks that may hang have time to report their failure; then they are cut off.
    private long settleUntil = Long.MIN_VALUE;
    private boolean settling;
    private long lastProgress;

    /// @param clock nanoseconds, monotonic, from 0 or more
    public ShardGroup(String name, GroupLimits limits, LongSupplier clock, SchedulingEvents events) {
        this.name = name;
        this.limits = limits;
        this.clock = clock;
        this.events = events;
        pace = new StepPace(limits.targetStepTime());
        desk = new SequenceDesk(limits.queueCapacity(), clock, events);
    }

    // ---- sequences ----

    /// Takes a sequence in, or fails it at once through its sink.
    public void submit(Sequence sequence) {
        if (desk.idle()) {
            lastProgress = clock.getAsLong();
        }
        desk.submit(sequence, identity(), batch);
    }

    /// The client is gone. Does nothing for a sequence that has ended.
    public void cancel(Sequence sequence) {
        desk.cancel(sequence, batch);
    }

    /// Takes no more work and fails what has not begun, so that it can be tried elsewhere.
    public void drain() {
        desk.drain();
    }

    /// Fails all that is left.
    public void failAll(ErrorCategory category, String message) {
        desk.failAll(batch, category, message);
    }

    /// Begins anew after a defect of ours: fails all sequences and ends the epoch.
    public void reset() {
        setbacks++;
        desk.failAll(batch, ErrorCategory.INTERNAL, "the scheduler failed; its log says more");
        endEpoch();
    }

    /// Whether no sequence runs or waits.
    public boolean idle() {
        return desk.idle();
    }

    // ---- ranks ----

    /// @param seenEpoch the last epoch that the rank obeyed
    /// @throws PenstockException (bad input) if it does not fit the others
    public Rank attach(Hello hello, long seenEpoch, RankLink link) {
        GroupIdentity claimed = GroupIdentity.of(hello);
        if (seenEpoch < 0 || seenEpoch > LAST_EPOCH) {
            throw broken("says it has seen epoch " + Long.toUnsignedString(seenEpoch));
        }
        if (ranks != null && ranks.attached() > 0) {
            ranks.identity().checkSame(claimed);
        } else {
            adopt(claimed);
        }
        Rank rank = new Rank(hello, link);
        Rank old = ranks.at(rank.index);
        if (old != null) {
            lose(old, new PenstockException(ErrorCategory.UNAVAILABLE, "replaced by %s", rank));
        }
        ranks.put(rank);
        epoch = Math.max(epoch, seenEpoch);
        LOG.infof(
                "group %s: %s attached from %s:%d, %d of %d",
                name, rank, hello.getPeerHost(), hello.getPeerPort(), ranks.attached(), claimed.ranks());
        return rank;
    }

    private void adopt(GroupIdentity claimed) {
        if (ranks != null && !ranks.identity().model().equals(claimed.model())) {
            desk.failAll(batch, ErrorCategory.UNAVAILABLE, "the group serves another model now");
        }
        ranks = new RankTable(claimed);
    }

    /// The rank's stream has ended. Does nothing for one that was replaced or cut off before.
    public void detach(Rank rank, String why) {
        if (ranks.holds(rank)) {
            ranks.remove(rank);
            LOG.warnf("group %s: %s lost: %s", name, rank, why);
            endEpoch();
        }
    }

    private void lose(Rank rank, PenstockException reason) {
        detach(rank, reason.getMessage());
        rank.link.cut(reason);
    }

    /// Takes any report but Hello.
    public void report(Rank rank, ShardReport report) {
        if (!ranks.holds(rank)) {
            return;
        }
        rank.heard();
        switch (report.getReportCase()) {
            case HELLO -> lose(rank, broken("said Hello twice"));
            case LOAD_PROGRESS -> loading(rank, report.getLoadProgress());
            case FAILURE -> failed(rank, report.getEpoch(), report.getFailure());
            case READY -> {
                if (report.getEpoch() == epoch && state == GroupState.GROUP_STATE_LOADING) {
                    ready(rank, report.getReady());
                }
            }
            case STEP_DONE -> {
                if (report.getEpoch() == epoch && state == GroupState.GROUP_STATE_SERVING) {
                    stepDone(rank, report.getStepDone());
                }
            }
            case REPORT_NOT_SET -> lose(rank, broken("sent a report without content"));
        }
    }

    private static PenstockException broken(String what) {
        return new PenstockException(ErrorCategory.BAD_INPUT, "the rank %s", what);
    }

    private void loading(Rank rank, LoadProgress progress) {
        rank.bytesLoaded = progress.getBytesLoaded();
        rank.bytesToLoad = progress.getBytesTotal();
    }

    private void ready(Rank rank, Ready ready) {
        if (ready.getKvBlocks() < 1) {
            lose(rank, broken("is ready with %d KV blocks".formatted(ready.getKvBlocks())));
            return;
        }
        rank.ready = true;
        rank.kvBlocks = ready.getKvBlocks();
        int least = MOST_BLOCKS;
        for (Rank each : ranks.present()) {
            if (!each.ready) {
                return;
            }
            least = Math.min(least, each.kvBlocks);
        }
        serve(least);
    }

    private void serve(int kvBlocks) {
        GroupIdentity identity = ranks.identity();
        int maxSequences = ranks.maxSequences(limits);
        int maxStepTokens = ranks.maxStepTokens(limits);
        batch = new Batch(
                new Batch.Limits(limits.blockSize(), maxSequences, maxStepTokens, kvBlocks, identity.ppSize()), pace);
        state = GroupState.GROUP_STATE_SERVING;
        lastProgress = clock.getAsLong();
        LOG.infof(
                "group %s: serving %s in epoch %d, %d KV blocks of %d tokens, %d sequences, %d tokens a step",
                name, identity.model(), epoch, kvBlocks, limits.blockSize(), maxSequences, maxStepTokens);
        desk.served(identity, batch);
    }

    private void failed(Rank rank, long reportEpoch, Failure failure) {
        rank.failed = true;
        LOG.warnf(
                "group %s: %s failed in epoch %d, step %d: %s, %s: %s",
                name,
                rank,
                reportEpoch,
                failure.getStep(),
                failure.getCause(),
                failure.getCategory(),
                failure.getMessage());
        if (failure.getCause() == FailureCause.FAILURE_CAUSE_DEVICE) {
            lose(rank, new PenstockException(ErrorCategory.UNAVAILABLE, "the rank's device cannot be used any more"));
            return;
        }
        if (reportEpoch != epoch) {
            return;
        }
        String refusal = rank.refusal(failure);
        if (refusal != null && ranks.complete()) {
            // Also where a peer that noticed was faster, and has ended the epoch.
            refuse(refusal);
            return;
        }
        if (state != GroupState.GROUP_STATE_LOADING && state != GroupState.GROUP_STATE_SERVING) {
            return;
        }
        setbacks++;
        switch (failure.getCause()) {
            case FAILURE_CAUSE_STEP, FAILURE_CAUSE_UNSPECIFIED, UNRECOGNIZED -> blame(failure.getStep());
            case FAILURE_CAUSE_LOAD -> desk.refuse("the model's weights cannot be loaded");
            case FAILURE_CAUSE_PEER, FAILURE_CAUSE_DEVICE -> {}
        }
        suspectTheSilent();
        endEpoch();
    }

    private void refuse(String why) {
        if (state == GroupState.GROUP_STATE_REFUSED) {
            return;
        }
        setbacks++;
        endEpoch();
        state = GroupState.GROUP_STATE_REFUSED;
        LOG.errorf("group %s: refused until its ranks change: %s", name, why);
        desk.refuse(why);
    }

    /// Counts the failed step against its sequences; where suspects are among them, against those alone.
    private void blame(long number) {
        if (batch == null) {
            return;
        }
        for (StepRecord step : batch.inFlight()) {
            if (step.number() == number || number == 0) {
                desk.blame(step, batch, limits.maxStepFailures());
                return;
            }
        }
    }

    /// A peer failed a rank: it is one of those that have neither reported all steps nor a failure. They
    /// get the rest of the step's time to do so.
    private void suspectTheSilent() {
        if (batch == null || batch.stepsInFlight() == 0) {
            return;
        }
        settling = true;
        settleUntil = stepDeadline();
        for (Rank rank : ranks.present()) {
            rank.late = rank.reported < batch.lastPlanned();
        }
    }

    private void stepDone(Rank rank, StepDone done) {
        if (done.getNumber() != rank.reported + 1 || done.getNumber() > batch.lastPlanned()) {
            lose(
                    rank,
                    broken("reported step %d after %d, %d were sent"
                            .formatted(done.getNumber(), rank.reported, batch.lastPlanned())));
            return;
        }
        StepRecord step = batch.inFlight(done.getNumber());
        String flaw = rank.flaw(step, done);
        if (flaw != null) {
            setbacks++;
            lose(rank, broken(flaw));
            return;
        }
        rank.reported = done.getNumber();
        if (step.report(done) == ranks.identity().ranks()) {
            long now = clock.getAsLong();
            batch.stepReported();
            setbacks = 0;
            pace.measured(step.tokens(), now - Math.max(step.sentNanos(), lastProgress));
            lastProgress = now;
            events.stepReported(step, now);
            desk.deliver(step, batch, now);
            if (batch.running().isEmpty() && batch.stepsInFlight() == 0) {
                batch.checkIntegrity();
            }
        }
    }

    // ---- epochs ----

    private void endEpoch() {
        if (state == GroupState.GROUP_STATE_FORMING) {
            return;
        }
        if (state == GroupState.GROUP_STATE_REFUSED) {
            desk.accept();
        }
        state = GroupState.GROUP_STATE_FORMING;
        if (setbacks > 0) {
            long delay = Math.min(FIRST_REFORM_DELAY << Math.min(setbacks - 1, 16), LONGEST_REFORM_DELAY);
            formNotBefore = clock.getAsLong() + delay;
        }
        if (batch != null) {
            batch.inFlight().forEach(events::stepLost);
            desk.requeue(batch);
            batch = null;
        }
    }

    private void form(long now) {
        epoch++;
        ranks.assignLayers();
        Configure.Builder configure = ranks.configure(limits);
        state = GroupState.GROUP_STATE_LOADING;
        LOG.infof("group %s: epoch %d begins, layers by rank: %s", name, epoch, ranks.layers());
        for (Rank rank : ranks.present()) {
            rank.beginEpoch();
            configure.setFirstLayer(rank.firstLayer).setLayerCount(rank.layerCount);
            rank.send(order().setConfigure(configure).build(), now);
        }
    }

    private ShardOrder.Builder order() {
        return ShardOrder.newBuilder().setEpoch(epoch);
    }

    // ---- time ----

    /// Does what is due: deadlines, ranks that hang, forming, and the next steps. Called after anything
    /// happened, and at the latest after [#nanosToNextTurn].
    public void turn() {
        long now = clock.getAsLong();
        desk.expire(now, batch);
        switch (state) {
            case GROUP_STATE_FORMING -> formIfPossible(now);
            case GROUP_STATE_LOADING -> cutOffSilent(now);
            case GROUP_STATE_REFUSED -> {}
            case GROUP_STATE_SERVING -> {
                if (batch.stepsInFlight() > 0 && now >= stepDeadline()) {
                    cutOffLate();
                } else {
                    sendSteps(now);
                }
            }
            case GROUP_STATE_DRAINING, GROUP_STATE_UNSPECIFIED, UNRECOGNIZED ->
                throw new IllegalStateException(state.name());
        }
    }

    private void formIfPossible(long now) {
        if (settling) {
            boolean allHeard = true;
            for (Rank rank : ranks.present()) {
                allHeard &= rank.failed || !rank.late;
            }
            if (!allHeard && now < settleUntil) {
                return;
            }
            settling = false;
            for (Rank rank : ranks.present()) {
                if (!rank.failed && rank.late) {
                    lose(rank, hangs());
                }
            }
        }
        if (ranks != null && ranks.complete() && now >= formNotBefore) {
            form(now);
        }
    }

    private static PenstockException hangs() {
        return new PenstockException(ErrorCategory.UNAVAILABLE, "the rank has not answered in time");
    }

    private void cutOffSilent(long now) {
        for (Rank rank : ranks.present()) {
            if (!rank.ready && rank.silentFor(now) > limits.loadTimeout()) {
                lose(rank, hangs());
            }
        }
    }

    private void cutOffLate() {
        long oldest = batch.oldestInFlight().number();
        for (Rank rank : ranks.present()) {
            if (rank.reported < oldest) {
                lose(rank, hangs());
            }
        }
    }

    /// When the oldest step in flight is late: it could begin when it was sent or the step before it was
    /// done.
    private long stepDeadline() {
        return Math.max(batch.oldestInFlight().sentNanos(), lastProgress) + limits.stepTimeout();
    }

    private void sendSteps(long now) {
        int depth = Math.max(limits.stepsInFlight(), ranks.identity().ppSize());
        while (batch.stepsInFlight() < depth) {
            StepRecord step = batch.plan(desk.waiting(), now);
            batch.preempted().forEach(events::preempted);
            if (step == null) {
                return;
            }
            step.sentAt(now);
            events.stepPlanned(step, now);
            ShardOrder order = order().setStep(step.message()).build();
            for (Rank rank : ranks.present()) {
                rank.send(order, now);
            }
        }
    }

    /// @return how long nothing is due unless something happens; at most `longest`
    public long nanosToNextTurn(long longest) {
        long now = clock.getAsLong();
        long next = Math.min(now + longest, desk.nextDeadline());
        if (settling) {
            next = Math.min(next, settleUntil);
        } else if (state == GroupState.GROUP_STATE_FORMING && formNotBefore > now) {
            next = Math.min(next, formNotBefore);
        }
        if (batch != null && batch.stepsInFlight() > 0) {
            next = Math.min(next, stepDeadline());
        }
        return Math.max(0, next - now);
    }

    // ---- for others ----

    private GroupIdentity identity() {
        return ranks == null ? null : ranks.identity();
    }

    public GroupSnapshot snapshot() {
        return new GroupSnapshot(
                name,
                identity(),
                desk.draining() ? GroupState.GROUP_STATE_DRAINING : state,
                epoch,
                ranks == null ? 0 : ranks.attached(),
                ranks == null ? 0 : ranks.bytesLoaded(),
                ranks == null ? 0 : ranks.bytesToLoad(),
                limits.blockSize(),
                batch == null ? 0 : batch.limits().kvBlocks(),
                batch == null ? 0 : batch.blocksHeld(),
                batch == null ? 0 : batch.running().size(),
                desk.waiting().size(),
                desk.refusal(),
                desk.idle() ? -1 : lastProgress);
    }

    /// @throws IllegalStateException if KV blocks or slots do not add up
    public void checkIntegrity() {
        if (batch != null) {
            batch.checkIntegrity();
        }
    }
}
