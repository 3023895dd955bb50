package io.penstock.scheduler.batch;

import static io.penstock.scheduler.kv.BlockTable.blocksFor;

import io.penstock.api.shard.Row;
import io.penstock.api.shard.Step;
import io.penstock.scheduler.kv.BlockPool;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/// The sequences that run on a group in one epoch, and what the next step does with them: continuous
/// batching with one token budget for prefill chunks and decode rows. Owned by whoever has the group.
///
/// A step takes decode rows first (they cost one token each and someone waits for every one), then chunks
/// of prompts that have begun, then new sequences while tokens, slots and blocks last. Where blocks run
/// out, the sequence that is last in (priority, arrival) gives its own up and is computed anew later; the
/// step that did so admits none.
///
/// With S pipeline stages a step takes at most 1/S of the decoding sequences, those first that have waited
/// longest for a step. So with S sequences or more the steps in flight hold different sequences and the
/// stages work side by side; with fewer, a sequence is in several steps in flight at once, which hides the
/// way to the scheduler and back.
public final class Batch {
    /// @param kvBlocks of the rank that has least
    /// @param stages of the pipeline
    public record Limits(int blockSize, int maxSequences, int maxStepTokens, int kvBlocks, int stages) {}

    private static final Comparator<Sequence> LONGEST_WITHOUT_STEP =
            Comparator.<Sequence>comparingLong(s -> s.lastStep).thenComparing(Sequence.ORDER);

    /// Prompt tokens that a step takes however many sequences decode in it: prompts must get on, too.
    private static final int LEAST_CHUNK = 16;

    private final Limits limits;
    private final StepPace pace;
    private final BlockPool pool;
    private final SlotTable slots;
    private final List<Sequence> running = new ArrayList<>();
    private final List<Sequence> candidates = new ArrayList<>();
    private final ArrayDeque<StepRecord> inFlight = new ArrayDeque<>();
    private long reported;

    // Of the step being planned.
    private StepRecord record;
    private Step.Builder step;
    private int budget;
    private WaitingQueue waiting;
    private final List<Sequence> preempted = new ArrayList<>();

    /// @param pace limits the part of a step that computes prompts
    public Batch(Limits limits, StepPace pace) {
        this.limits = limits;
        this.pace = pace;
        pool = new BlockPool(limits.kvBlocks());
        slots = new SlotTable(limits.maxSequences());
    }

    /// Plans the next step and counts it as in flight.
    ///
    /// @param queue from which sequences are admitted, and to which preempted ones go back
    /// @return null if there is nothing to compute before a step in flight has reported, or nothing at all
    public StepRecord plan(WaitingQueue queue, long now) {
        record = new StepRecord(lastPlanned() + 1);
        step = Step.newBuilder().setNumber(record.number());
        budget = limits.maxStepTokens();
        waiting = queue;
        preempted.clear();

        candidates.clear();
        int decoding = 0;
        for (Sequence sequence : running) {
            if (sequence.runnable()) {
                candidates.add(sequence);
                decoding += sequence.remaining() == 1 ? 1 : 0;
            }
        }
        candidates.sort(LONGEST_WITHOUT_STEP);
        decode(Math.ceilDiv(decoding, limits.stages()));
        budget = Math.min(budget, Math.max(pace.tokens() - record.tokens(), LEAST_CHUNK));
        continuePrefill();
        if (preempted.isEmpty()) {
            admit(now);
        }
        if (record.parts().isEmpty()) {
            return null;
        }
        slots.retireIn(step);
        record.message(step.build());
        inFlight.add(record);
        return record;
    }

    /// Sequences that the last plan sent back to the queue.
    public List<Sequence> preempted() {
        return preempted;
    }

    private void decode(int share) {
        int left = share;
        for (Sequence sequence : candidates) {
            if (left == 0 || budget == 0) {
                return;
            }
            if (sequence.state() == Sequence.State.RUNNING && sequence.remaining() == 1) {
                left -= addRow(sequence, 1);
            }
        }
    }

    private void continuePrefill() {
        for (Sequence sequence : candidates) {
            if (budget == 0) {
                return;
            }
            if (sequence.state() == Sequence.State.RUNNING && !inThisStep(sequence) && sequence.remaining() > 1) {
                addRow(sequence, Math.min(budget, sequence.remaining()));
            }
        }
    }

    private void admit(long now) {
        while (budget > 0 && slots.hasFree() && !waiting.isEmpty()) {
            Sequence sequence = waiting.first();
            if (!admissible(sequence)) {
                return;
            }
            waiting.remove(sequence);
            sequence.restart();
            sequence.state(Sequence.State.RUNNING);
            sequence.slot = slots.take();
            sequence.scheduled(now);
            step.addAdmissions(sequence.admission());
            record.admitted().add(sequence);
            running.add(sequence);
            addRow(sequence, Math.min(budget, sequence.remaining()));
        }
    }

    private boolean admissible(Sequence sequence) {
        if (sequence.unreported > 0) {
            // Preempted, with a token still on its way that belongs into its record.
            return false;
        }
        int promised = 0;
        for (Sequence other : running) {
            if (sequence.suspect() && other.suspect()) {
                return false;
            }
            if (other.remaining() > 1) {
                promised += blocksFor(other.length, limits.blockSize()) - other.blocks.size();
            }
        }
        // One block to spare for each that runs: else growth by one token would throw the newcomer out
        // again.
        int needed = blocksFor(sequence.size(), limits.blockSize()) + running.size();
        return pool.free() - promised >= needed;
    }

    /// @return rows added: 1, or 0 if there is no block for it now
    private int addRow(Sequence sequence, int wanted) {
        int before = sequence.blocks.size();
        int count = cover(sequence, wanted);
        if (count == 0) {
            return 0;
        }
        int start = sequence.computed;
        boolean samples = start + count == sequence.length;
        Row.Builder row = Row.newBuilder()
                .setSlot(sequence.slot)
                .setTokens(count)
                .setStart(start)
                .setSamples(samples);
        for (int i = before; i < sequence.blocks.size(); i++) {
            row.addAppendedBlocks(sequence.blocks.block(i));
        }
        step.addRows(row);
        record.add(sequence, count, samples);
        sequence.computed += count;
        sequence.length += samples ? 1 : 0;
        sequence.unreported++;
        sequence.lastStep = record.number();
        budget -= count;
        return 1;
    }

    /// Takes blocks for the next `wanted` positions, preempting where none is free.
    ///
    /// @return how many positions are covered, at most `wanted`; 0: none in this step
    private int cover(Sequence sequence, int wanted) {
        int missing = blocksFor(sequence.computed + wanted, limits.blockSize()) - sequence.blocks.size();
        if (missing <= 0) {
            return wanted;
        }
        while (pool.free() == 0) {
            if (pool.awaitingReport() > 0 || someEnding()) {
                return 0;
            }
            Sequence victim = worst(false);
            if (victim == sequence && Sequence.ORDER.compare(worst(true), sequence) > 0) {
                // Worse ones run in this step already. This sequence is ahead of them in the next.
                return 0;
            }
            preempt(victim);
            if (victim == sequence) {
                return 0;
            }
        }
        for (int n = Math.min(missing, pool.free()); n > 0; n--) {
            sequence.blocks.append(pool.take());
        }
        return Math.min(wanted, sequence.blocks.size() * limits.blockSize() - sequence.computed);
    }

    /// Whether a sequence runs whose last token is already on its way: its blocks come back without
    /// preemption.
    private boolean someEnding() {
        for (Sequence sequence : running) {
            if (!sequence.runnable()) {
                return true;
            }
        }
        return false;
    }

    private Sequence worst(boolean evenInThisStep) {
        Sequence worst = null;
        for (Sequence sequence : running) {
            if ((evenInThisStep || !inThisStep(sequence))
                    && (worst == null || Sequence.ORDER.compare(sequence, worst) > 0)) {
                worst = sequence;
            }
        }
        return worst;
    }

    private boolean inThisStep(Sequence sequence) {
        return sequence.lastStep == record.number();
    }

    private void preempt(Sequence sequence) {
        leave(sequence);
        sequence.restart();
        sequence.preempted();
        waiting.add(sequence);
        preempted.add(sequence);
    }

    /// Takes a running sequence out: its slot is retired with the next step, its blocks are free once its
    /// last step has reported.
    public void leave(Sequence sequence) {
        if (!running.remove(sequence)) {
            throw new IllegalStateException("sequence is not running");
        }
        sequence.blocks.releaseAll(pool, sequence.lastStep);
        slots.release(sequence.slot, sequence.lastStep, reported);
    }

    /// All ranks have reported the oldest step in flight.
    public StepRecord stepReported() {
        StepRecord done = inFlight.remove();
        reported = done.number();
        pool.stepReported(reported);
        slots.stepReported(reported);
        for (StepRecord.Part part : done.parts()) {
            part.sequence().unreported--;
        }
        return done;
    }

    /// The epoch is over: no step will report any more.
    ///
    /// @param queue receives all that ran
    public void abandon(WaitingQueue queue) {
        for (StepRecord lost : inFlight) {
            for (StepRecord.Part part : lost.parts()) {
                if (!part.sequence().ended()) {
                    part.sequence().forgetEpoch();
                }
            }
        }
        for (Sequence sequence : running) {
            sequence.forgetEpoch();
            queue.add(sequence);
        }
        running.clear();
        inFlight.clear();
    }

    /// Oldest first.
    public Iterable<StepRecord> inFlight() {
        return inFlight;
    }

    /// @param number of a step in flight
    public StepRecord inFlight(long number) {
        for (StepRecord candidate : inFlight) {
            if (candidate.number() == number) {
                return candidate;
            }
        }
        throw new IllegalArgumentException("step " + number + " is not in flight");
    }

    /// Number of the last step planned; 0: none.
    public long lastPlanned() {
        return reported + inFlight.size();
    }

    public int stepsInFlight() {
        return inFlight.size();
    }

    /// Null: none.
    public StepRecord oldestInFlight() {
        return inFlight.peek();
    }

    public List<Sequence> running() {
        return running;
    }

    public Limits limits() {
        return limits;
    }

    public int blocksHeld() {
        return pool.held();
    }

    /// @throws IllegalStateException if blocks or slots do not add up
    public void checkIntegrity() {
        pool.checkIntegrity(running.stream().map(sequence -> sequence.blocks).toList());
        if (slots.held() != running.size()) {
            throw new IllegalStateException(
                    "%d slots are held by %d sequences".formatted(slots.held(), running.size()));
        }
    }
}
