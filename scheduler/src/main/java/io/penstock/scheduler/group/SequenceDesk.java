package io.penstock.scheduler.group;

import io.penstock.api.inference.Token;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.scheduler.batch.Batch;
import io.penstock.scheduler.batch.Sequence;
import io.penstock.scheduler.batch.SequenceRequest;
import io.penstock.scheduler.batch.StepRecord;
import io.penstock.scheduler.batch.WaitingQueue;
import io.penstock.scheduler.telemetry.SchedulingEvents;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.TreeSet;
import java.util.function.LongSupplier;

/// A group's sequences from arrival to end, over all epochs: the queue, the deadlines, and what their
/// clients are told. Owned by whoever has the group.
///
/// Every sequence taken in ends exactly once: finished, failed, or cancelled by its client.
final class SequenceDesk {
    private static final long MIN_RETRY_MILLIS = 100;
    private static final long MAX_RETRY_MILLIS = 10_000;

    private final int capacity;
    private final LongSupplier clock;
    private final SchedulingEvents events;

    private final WaitingQueue waiting = new WaitingQueue();
    private final TreeSet<Sequence> deadlines = new TreeSet<>(
            Comparator.<Sequence>comparingLong(s -> s.request().deadline()).thenComparing(Sequence.ORDER));
    private long arrivals;
    private int live;
    private boolean draining;
    private String refusal;

    private long lastFinish = -1;
    private long nanosBetweenFinishes = MIN_RETRY_MILLIS * 1_000_000;

    SequenceDesk(int capacity, LongSupplier clock, SchedulingEvents events) {
        this.capacity = capacity;
        this.clock = clock;
        this.events = events;
    }

    WaitingQueue waiting() {
        return waiting;
    }

    boolean idle() {
        return live == 0;
    }

    boolean draining() {
        return draining;
    }

    /// Why every sequence is failed at once; null where it is not.
    String refusal() {
        return refusal;
    }

    /// @param batch null where the group does not serve now
    void submit(Sequence sequence, GroupIdentity identity, Batch batch) {
        long now = clock.getAsLong();
        live++;
        sequence.arrive(arrivals++, now);
        events.queued(sequence, now);
        if (draining) {
            fail(sequence, batch, ErrorCategory.UNAVAILABLE, "the scheduler is shutting down");
        } else if (refusal != null) {
            fail(sequence, batch, ErrorCategory.UNAVAILABLE, refusal);
        } else if (identity == null
                || !identity.model().equals(sequence.request().model())) {
            fail(sequence, batch, ErrorCategory.UNAVAILABLE, "the group serves another model now");
        } else if (now >= sequence.request().deadline()) {
            fail(sequence, batch, ErrorCategory.DEADLINE, "the deadline had passed on arrival");
        } else if (waiting.size() >= capacity) {
            end(sequence, batch);
            events.failed(sequence, ErrorCategory.OVERLOADED, now);
            sequence.sink()
                    .failed(
                            new PenstockException(
                                    ErrorCategory.OVERLOADED, "%d sequences wait already, the queue is full", capacity),
                            retryAfterMillis());
        } else {
            waiting.add(sequence);
            if (sequence.request().deadline() != SequenceRequest.NO_DEADLINE) {
                deadlines.add(sequence);
            }
            if (fits(sequence, identity, batch) && full(sequence)) {
                finish(sequence, batch, -1, now);
            }
        }
    }

    private static boolean full(Sequence sequence) {
        return sequence.size() >= sequence.maxLength();
    }

    /// Sets how long the sequence may become, by the context and, where the group serves, by its KV
    /// blocks.
    ///
    /// @return false if it can never run, and was failed
    private boolean fits(Sequence sequence, GroupIdentity identity, Batch batch) {
        SequenceRequest request = sequence.request();
        int context = identity.shape().getContextLength();
        // The last token is sampled, not computed: it needs no KV.
        long room = batch == null ? context : kvTokens(batch) + 1;
        int maxLength = request.maxTokens() > 0
                ? request.promptLength() + request.maxTokens()
                : (int) Math.min(context, Math.max(room, sequence.size()));
        sequence.maxLength(maxLength);
        if (maxLength > context || maxLength > room || request.promptLength() >= maxLength) {
            fail(
                    sequence,
                    batch,
                    ErrorCategory.BAD_INPUT,
                    "prompt and max_tokens come to %d tokens, there is room for %d in the context and %d in KV memory"
                            .formatted(Math.max(maxLength, request.promptLength() + 1), context, room));
            return false;
        }
        return true;
    }

    private static long kvTokens(Batch batch) {
        return (long) batch.limits().kvBlocks() * batch.limits().blockSize();
    }

    /// The group serves: what waits is checked against its KV memory.
    void served(GroupIdentity identity, Batch batch) {
        accept();
        long now = clock.getAsLong();
        for (Sequence sequence : waiting.all()) {
            if (fits(sequence, identity, batch) && full(sequence)) {
                finish(sequence, batch, -1, now);
            }
        }
    }

    /// The group cannot serve: nothing waits for it any more, until [#accept] or [#served]. No batch runs.
    void refuse(String why) {
        refusal = why;
        failAll(null, ErrorCategory.UNAVAILABLE, why);
    }

    /// What comes may wait again.
    void accept() {
        refusal = null;
    }

    void cancel(Sequence sequence, Batch batch) {
        if (!sequence.ended()) {
            end(sequence, batch);
            events.failed(sequence, null, clock.getAsLong());
        }
    }

    void drain() {
        draining = true;
        for (Sequence sequence : waiting.all()) {
            if (sequence.scheduledNanos() < 0) {
                fail(sequence, null, ErrorCategory.UNAVAILABLE, "the scheduler is shutting down");
            }
        }
    }

    void failAll(Batch batch, ErrorCategory category, String message) {
        List<Sequence> all = waiting.all();
        if (batch != null) {
            all.addAll(batch.running());
        }
        all.forEach(sequence -> fail(sequence, batch, category, message));
    }

    void expire(long now, Batch batch) {
        while (!deadlines.isEmpty() && deadlines.first().request().deadline() <= now) {
            Sequence sequence = deadlines.first();
            boolean ran = sequence.scheduledNanos() >= 0;
            fail(
                    sequence,
                    batch,
                    ErrorCategory.DEADLINE,
                    ran
                            ? "the deadline passed after %d tokens".formatted(sequence.generated())
                            : "the deadline passed in the queue");
        }
    }

    long nextDeadline() {
        return deadlines.isEmpty()
                ? Long.MAX_VALUE
                : deadlines.first().request().deadline();
    }

    /// Hands out what a step sampled, in all its sequences.
    void deliver(StepRecord step, Batch batch, long now) {
        for (int i = 0; i < step.parts().size(); i++) {
            StepRecord.Part part = step.parts().get(i);
            Sequence sequence = part.sequence();
            // One that has ended meanwhile was in the step for nothing: its token is discarded.
            if (part.samples() && !sequence.ended()) {
                deliver(sequence, step.sampled(i), batch, now);
            }
        }
    }

    private void deliver(Sequence sequence, Token token, Batch batch, long now) {
        sequence.cleared();
        if (sequence.stopsAt(token.getId())) {
            finish(sequence, batch, token.getId(), now);
            return;
        }
        int position = sequence.generated();
        sequence.append(token.getId());
        events.token(sequence, sequence.tokenAt(now), now);
        if (!sequence.sink().token(position, token)) {
            fail(sequence, batch, ErrorCategory.OVERLOADED, "the stream is read too slowly");
        } else if (full(sequence)) {
            finish(sequence, batch, -1, now);
        }
    }

    /// Counts a failed step against its sequences; where suspects are among them, against those alone.
    ///
    /// @param most failed steps after which a sequence is not tried again
    void blame(StepRecord step, Batch batch, int most) {
        List<Sequence> blamed = new ArrayList<>();
        boolean suspects = false;
        for (StepRecord.Part part : step.parts()) {
            if (!part.sequence().ended()) {
                blamed.add(part.sequence());
                suspects |= part.sequence().suspect();
            }
        }
        for (Sequence sequence : blamed) {
            if ((!suspects || sequence.suspect()) && sequence.blame() >= most) {
                fail(sequence, batch, ErrorCategory.INTERNAL, "%d steps with this sequence failed".formatted(most));
            }
        }
    }

    /// The epoch is over: what ran waits again, in its old place.
    void requeue(Batch batch) {
        batch.abandon(waiting);
    }

    private void finish(Sequence sequence, Batch batch, int stopToken, long now) {
        end(sequence, batch);
        if (lastFinish >= 0) {
            nanosBetweenFinishes += ((now - lastFinish) - nanosBetweenFinishes) / 8;
        }
        lastFinish = now;
        events.finished(sequence, stopToken < 0 ? "length" : "stop", now);
        sequence.sink().finished(sequence.finish(stopToken, now));
    }

    private void fail(Sequence sequence, Batch batch, ErrorCategory category, String message) {
        end(sequence, batch);
        events.failed(sequence, category, clock.getAsLong());
        sequence.sink().failed(new PenstockException(category, "%s", message), 0);
    }

    private void end(Sequence sequence, Batch batch) {
        switch (sequence.state()) {
            case WAITING -> waiting.remove(sequence);
            case RUNNING -> batch.leave(sequence);
            case ENDED -> throw new IllegalStateException("sequence ends twice");
        }
        sequence.end();
        deadlines.remove(sequence);
        live--;
    }

    /// One place in the queue is free when one sequence has finished.
    private long retryAfterMillis() {
        return Math.clamp(nanosBetweenFinishes / 1_000_000, MIN_RETRY_MILLIS, MAX_RETRY_MILLIS);
    }
}
