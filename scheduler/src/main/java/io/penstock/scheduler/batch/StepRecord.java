package io.penstock.scheduler.batch;

import io.opentelemetry.api.trace.Span;
import io.penstock.api.inference.Token;
import io.penstock.api.shard.Sampled;
import io.penstock.api.shard.Step;
import io.penstock.api.shard.StepDone;
import java.util.ArrayList;
import java.util.List;

/// A step sent and not yet reported by all ranks.
public final class StepRecord {
    /// One sequence's part.
    ///
    /// @param slot that the sequence held then
    /// @param samples whether the step samples a token for it
    public record Part(Sequence sequence, int slot, int tokens, boolean samples) {}

    private final long number;
    private final List<Part> parts = new ArrayList<>();
    private final List<Sequence> admitted = new ArrayList<>(0);
    private int tokens;
    private int sampling;
    private Step message;
    private long sentNanos;
    private Span span = Span.getInvalid();

    private int reports;
    private long computeMicros;
    private long waitMicros;
    private Token[] sampled = new Token[0];

    StepRecord(long number) {
        this.number = number;
    }

    public long number() {
        return number;
    }

    public List<Part> parts() {
        return parts;
    }

    void add(Sequence sequence, int count, boolean samples) {
        parts.add(new Part(sequence, sequence.slot, count, samples));
        tokens += count;
        if (samples) {
            sampling++;
        }
    }

    /// Over all rows.
    public int tokens() {
        return tokens;
    }

    /// Rows that sample.
    public int sampling() {
        return sampling;
    }

    public Step message() {
        return message;
    }

    void message(Step step) {
        message = step;
    }

    public long sentNanos() {
        return sentNanos;
    }

    public Span span() {
        return span;
    }

    public void sentAt(long now) {
        sentNanos = now;
    }

    /// Gives the step a span, which the ranks learn of.
    ///
    /// @param traceparent as W3C writes it
    public void traced(Span stepSpan, String traceparent) {
        span = stepSpan;
        message = message.toBuilder().setTraceparent(traceparent).build();
    }

    /// Sequences that begin with this step.
    public List<Sequence> admitted() {
        return admitted;
    }

    /// Takes one rank's report.
    ///
    /// @return how many ranks have reported
    public int report(StepDone done) {
        computeMicros = Math.max(computeMicros, done.getComputeMicros());
        waitMicros = Math.max(waitMicros, done.getWaitMicros());
        return ++reports;
    }

    /// Takes what the sampling rank sampled, in any order.
    ///
    /// @return whether it is one token for each row that samples, and no other
    public boolean sample(List<Sampled> tokensOfSlots) {
        sampled = new Token[parts.size()];
        if (tokensOfSlots.size() != sampling) {
            return false;
        }
        int at = 0;
        for (Sampled one : tokensOfSlots) {
            int tried = 0;
            // Row order is what ranks send: then each is found at once.
            while (!(parts.get(at).samples() && parts.get(at).slot() == one.getSlot())) {
                at = at + 1 == sampled.length ? 0 : at + 1;
                if (++tried > sampled.length) {
                    return false;
                }
            }
            if (sampled[at] != null) {
                return false;
            }
            sampled[at] = one.getToken();
        }
        return true;
    }

    /// @param part index in [#parts], of one that samples
    public Token sampled(int part) {
        return sampled[part];
    }

    /// Of the slowest rank.
    public long computeMicros() {
        return computeMicros;
    }

    /// For peers, of the rank that waited longest.
    public long waitMicros() {
        return waitMicros;
    }
}
