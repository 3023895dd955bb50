package io.penstock.shard.step;

import io.penstock.api.shard.Configure;
import io.penstock.api.shard.Failure;
import io.penstock.api.shard.FailureCause;
import io.penstock.api.shard.LoadProgress;
import io.penstock.api.shard.Ready;
import io.penstock.api.shard.ShardOrder;
import io.penstock.api.shard.ShardReport;
import io.penstock.api.shard.Step;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.config.ModelConfig;
import io.penstock.model.tensor.RankSlice;
import io.penstock.shard.backend.Backend;
import io.penstock.shard.backend.DeviceException;
import io.penstock.shard.backend.StepLimits;
import io.penstock.shard.collective.Collective;
import io.penstock.shard.collective.LocalCollective;
import io.penstock.shard.collective.PeerException;
import io.penstock.shard.collective.tcp.PeerListener;
import io.penstock.shard.collective.tcp.TcpCollective;
import io.penstock.shard.weights.Weights;
import java.time.Duration;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.LongFunction;
import org.jboss.logging.Logger;

/// The one thread that owns the device. It takes the scheduler's orders in turn, keeps at most two steps in
/// flight, and reports each. Everything else talks to it through a queue.
///
/// A failed step ends the epoch, not the process: weights stay, sequences are forgotten, and the next
/// Configure starts afresh. Only a lost device, or an error that leaves this process in doubt, ends it.
public final class StepLoop implements AutoCloseable {
    private static final Logger LOG = Logger.getLogger(StepLoop.class);
    private static final long LOOK_OUT_NANOS = TimeUnit.MICROSECONDS.toNanos(50);
    private static final long HEARTBEAT_MILLIS = 2_000;
    private static final long STOP_MILLIS = 15_000;

    /// How far this rank is.
    public enum State {
        /// No scheduler.
        DETACHED,
        /// Attached; no epoch, or one that is being set up.
        FORMING,
        SERVING
    }

    private sealed interface Command {
        /// @param generation see [#generation]
        record Order(ReportStream stream, ShardOrder order, long generation) implements Command {}

        record Attached(ReportStream stream) implements Command {}

        record Detached(ReportStream stream) implements Command {}

        record Stop() implements Command {}
    }

    private final RankPlace place;
    private final Weights weights;
    private final Backend backend;
    private final PeerListener listener;
    private final Duration spin;
    private final StepObserver observer;
    private final Consumer<Throwable> fatal;
    private final BlockingQueue<Command> commands = new LinkedBlockingQueue<>();
    private final ScheduledExecutorService heartbeat = Executors.newSingleThreadScheduledExecutor(
            Thread.ofPlatform().daemon().name("load-heartbeat").factory());
    private final Thread thread;

    /// Counts what makes the epoch in hand obsolete: a new Configure, or the end of the stream it came from.
    private volatile long generation;

    private final Object generationLock = new Object();
    /// What the loop may be waiting in.
    private volatile Collective live;

    private volatile State state = State.DETACHED;
    private volatile long busySince;
    private volatile long obeyedEpoch;
    private volatile RankSlice loaded;

    // Of the loop's thread.
    private ReportStream stream;
    private Epoch epoch;
    private long orderGeneration;

    /// @param listener where peers connect; may be null in a group of one
    /// @param spin see [TcpCollective]
    /// @param fatal called once if the loop cannot go on: the process should end
    public StepLoop(
            RankPlace place,
            Weights weights,
            Backend backend,
            PeerListener listener,
            Duration spin,
            StepObserver observer,
            Consumer<Throwable> fatal) {
        this.place = place;
        this.weights = weights;
        this.backend = backend;
        this.listener = listener;
        this.spin = spin;
        this.observer = observer;
        this.fatal = fatal;
        thread = Thread.ofPlatform().name("step-loop").daemon().unstarted(this::run);
    }

    public void start() {
        thread.start();
    }

    // ---- for other threads ----

    public State state() {
        return state;
    }

    public boolean alive() {
        return thread.isAlive();
    }

    /// @return how long the step in hand has taken so far; 0 where there is none
    public Duration stalled() {
        long since = busySince;
        return since == 0 ? Duration.ZERO : Duration.ofNanos(Math.max(0, System.nanoTime() - since));
    }

    /// Of the last Configure obeyed; 0 before the first.
    public long obeyedEpoch() {
        return obeyedEpoch;
    }

    /// The slice whose weights are on the device; null before they are.
    public RankSlice loaded() {
        return loaded;
    }

    /// A stream has begun; orders from it follow.
    public void attached(ReportStream newStream) {
        commands.add(new Command.Attached(newStream));
    }

    public void offer(ReportStream from, ShardOrder order) {
        if (order.hasConfigure()) {
            supersede(newest -> new Command.Order(from, order, newest));
        } else {
            commands.add(new Command.Order(from, order, generation));
        }
    }

    public void detached(ReportStream from) {
        supersede(newest -> new Command.Detached(from));
    }

    /// Ends whatever the loop waits for, then has it do something else. If the loop is only about to wait,
    /// it sees the new generation first; and what it waits for after it took the command is not closed by
    /// this.
    private void supersede(LongFunction<Command> command) {
        synchronized (generationLock) {
            generation++;
            abandon();
            commands.add(command.apply(generation));
        }
    }

    private void abandon() {
        Collective waiting = live;
        if (waiting != null) {
            waiting.close();
        }
    }

    /// Finishes the steps in hand, reports them, and ends.
    @Override
    public void close() {
        commands.add(new Command.Stop());
        try {
            thread.join(STOP_MILLIS);
            if (thread.isAlive()) {
                LOG.warnf("the step in hand has not ended after %d ms: leaving it", STOP_MILLIS);
                abandon();
                thread.interrupt();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        heartbeat.shutdownNow();
    }

    // ---- the loop ----

    private void run() {
        try {
            while (true) {
                Command command = next();
                if (command == null) {
                    guarded(epoch.oldest(), this::completeOldest);
                    continue;
                }
                switch (command) {
                    case Command.Order order -> obey(order);
                    case Command.Attached attached -> attach(attached.stream());
                    case Command.Detached detached -> detach(detached.stream());
                    case Command.Stop _ -> {
                        finish();
                        return;
                    }
                }
            }
        } catch (InterruptedException e) {
            LOG.debugf(e, "%s ends", thread.getName());
        } catch (RuntimeException | Error e) {
            LOG.errorf(e, "the step loop cannot go on");
            report(failure(FailureCause.FAILURE_CAUSE_DEVICE, ErrorCategory.INTERNAL, String.valueOf(e), 0));
            complete();
            fatal.accept(e);
        } finally {
            endEpoch();
            state = State.DETACHED;
        }
    }

    /// @return null if the oldest step in flight is what to see to now
    private Command next() throws InterruptedException {
        int inFlight = epoch == null ? 0 : epoch.inFlight();
        busySince = inFlight == 0 ? 0 : epoch.oldestBeganNanos();
        if (inFlight == 0) {
            return commands.take();
        }
        if (inFlight == Epoch.MAX_IN_FLIGHT) {
            return null;
        }
        Command command = commands.poll();
        while (command == null && !backend.awaitable()) {
            command = commands.poll(LOOK_OUT_NANOS, TimeUnit.NANOSECONDS);
        }
        return command;
    }

    private void attach(ReportStream newStream) {
        endEpoch();
        stream = newStream;
        state = State.FORMING;
    }

    private void detach(ReportStream lost) {
        if (lost.equals(stream)) {
            endEpoch();
            stream = null;
            state = State.DETACHED;
            if (listener != null) {
                listener.leave();
            }
        }
    }

    private void obey(Command.Order order) {
        if (!order.stream().equals(stream)) {
            return;
        }
        stream.orderTaken();
        switch (order.order().getOrderCase()) {
            case CONFIGURE -> {
                orderGeneration = order.generation();
                obeyedEpoch = order.order().getEpoch();
                endEpoch();
                guarded(
                        0,
                        () -> configure(order.order().getEpoch(), order.order().getConfigure()));
            }
            case STEP -> {
                // Steps of an epoch that has failed here are on their way until the scheduler knows.
                if (epoch != null && epoch.number == order.order().getEpoch()) {
                    Step step = order.order().getStep();
                    guarded(step.getNumber(), () -> epoch.submit(step));
                }
            }
            case ORDER_NOT_SET -> LOG.warnf("%s: an order without content; is the scheduler newer?", place);
        }
    }

    private void completeOldest() {
        report(ShardReport.newBuilder().setStepDone(epoch.complete()));
    }

    private void finish() {
        while (epoch != null && epoch.inFlight() > 0) {
            guarded(epoch.oldest(), this::completeOldest);
        }
        endEpoch();
        complete();
    }

    private void complete() {
        if (stream != null) {
            stream.complete();
        }
    }

    // ---- epochs ----

    private void configure(long number, Configure configure) {
        ModelConfig config = weights.checkpoint().config();
        StepLimits limits = ConfigureMessages.limits(configure, config, place);
        RankSlice slice = ConfigureMessages.slice(configure, config, place);
        if (!slice.equals(loaded)) {
            load(slice);
        }
        if (superseded()) {
            return;
        }
        Collective collective = connect(number, configure);
        int kvBlocks;
        try {
            kvBlocks = backend.configure(limits, collective);
            if (kvBlocks < 1) {
                throw new PenstockException(
                        ErrorCategory.BAD_INPUT,
                        "there is no memory for a single KV block of %d tokens; raise penstock.shard.kv-memory",
                        limits.blockSize());
            }
        } catch (RuntimeException e) {
            collective.close();
            throw e;
        }
        epoch = new Epoch(number, limits, kvBlocks, config.vocabularySize(), backend, collective, observer);
        observer.configured(number, kvBlocks, limits.blockSize());
        LOG.infof(
                "%s: epoch %d, layers %s, %d KV blocks of %d tokens",
                place, number, slice.layers(), kvBlocks, limits.blockSize());
        state = State.SERVING;
        report(ShardReport.newBuilder().setReady(Ready.newBuilder().setKvBlocks(kvBlocks)));
    }

    private void load(RankSlice slice) {
        // Until it is whole there is nothing to say of it.
        loaded = null;
        long began = System.nanoTime();
        try {
            long bytes = new LayerLoading(weights, backend, this::reportProgress).load(slice);
            loaded = slice;
            LOG.infof(
                    "%s: loaded layers %s, %.1f MB in %.1f s",
                    place, slice.layers(), bytes / 1e6, (System.nanoTime() - began) / 1e9);
        } catch (DeviceException e) {
            throw e;
        } catch (PenstockException e) {
            throw new LoadException(e);
        }
    }

    private void reportProgress(long bytes, long total) {
        report(ShardReport.newBuilder()
                .setLoadProgress(LoadProgress.newBuilder().setBytesLoaded(bytes).setBytesTotal(total)));
    }

    private Collective connect(long number, Configure configure) {
        if (place.ranks() == 1) {
            return new LocalCollective();
        }
        TcpCollective collective = new TcpCollective(
                ConfigureMessages.membership(configure, number, place, listener.instance()), listener, spin);
        live = collective;
        if (superseded()) {
            collective.close();
        }
        // Peers may still load, for minutes; this rank is well meanwhile.
        ReportStream to = stream;
        ScheduledFuture<?> beat = heartbeat.scheduleWithFixedDelay(
                () -> to.send(ShardReport.newBuilder()
                        .setEpoch(number)
                        .setLoadProgress(LoadProgress.getDefaultInstance())
                        .build()),
                HEARTBEAT_MILLIS,
                HEARTBEAT_MILLIS,
                TimeUnit.MILLISECONDS);
        try {
            collective.connect();
        } finally {
            beat.cancel(false);
        }
        return collective;
    }

    private boolean superseded() {
        return generation != orderGeneration;
    }

    private void endEpoch() {
        Collective collective = live;
        live = null;
        if (collective != null) {
            collective.close();
        }
        if (epoch != null) {
            epoch.close();
            epoch = null;
        }
        busySince = 0;
        if (state == State.SERVING) {
            state = State.FORMING;
        }
    }

    // ---- failures ----

    /// Does a piece of work; if it fails, the epoch is over, and the scheduler hears why unless it has moved
    /// on.
    ///
    /// @param step that it is part of, or 0
    private void guarded(long step, Runnable work) {
        try {
            work.run();
        } catch (DeviceException e) {
            throw e;
        } catch (PeerException e) {
            fail(FailureCause.FAILURE_CAUSE_PEER, e.category(), e, step);
        } catch (LoadException e) {
            fail(FailureCause.FAILURE_CAUSE_LOAD, e.reason.category(), e.reason, 0);
        } catch (PenstockException e) {
            fail(FailureCause.FAILURE_CAUSE_STEP, e.category(), e, step);
        } catch (RuntimeException e) {
            fail(FailureCause.FAILURE_CAUSE_STEP, ErrorCategory.INTERNAL, e, step);
        }
    }

    private void fail(FailureCause cause, ErrorCategory category, RuntimeException reason, long step) {
        long number = epoch == null ? obeyedEpoch : epoch.number;
        boolean obsolete = superseded();
        endEpoch();
        if (obsolete) {
            LOG.debugf(reason, "%s: left epoch %d", place, number);
            return;
        }
        String message = reason instanceof PenstockException ? reason.getMessage() : reason.toString();
        if (reason instanceof PenstockException && category != ErrorCategory.INTERNAL) {
            LOG.warnf("%s: epoch %d ends at step %d: %s", place, number, step, message);
        } else {
            LOG.errorf(reason, "%s: epoch %d ends at step %d", place, number, step);
        }
        observer.failed(number, step, cause.name(), message);
        report(failure(cause, category, message, step));
    }

    private static ShardReport.Builder failure(FailureCause cause, ErrorCategory category, String message, long step) {
        return ShardReport.newBuilder()
                .setFailure(Failure.newBuilder()
                        .setCause(cause)
                        .setCategory(category.name())
                        .setMessage(message)
                        .setStep(step));
    }

    private void report(ShardReport.Builder report) {
        if (stream != null) {
            stream.send(report.setEpoch(obeyedEpoch).build());
        }
    }

    /// Tells weights that cannot be had from a step that cannot be done.
    private static final class LoadException extends RuntimeException {
        private final transient PenstockException reason;

        LoadException(PenstockException reason) {
            super(reason);
            this.reason = reason;
        }
    }
}
