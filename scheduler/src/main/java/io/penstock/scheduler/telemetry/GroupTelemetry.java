package io.penstock.scheduler.telemetry;

import io.micrometer.core.instrument.MeterRegistry;
import io.penstock.model.ErrorCategory;
import io.penstock.scheduler.batch.Sequence;
import io.penstock.scheduler.batch.StepRecord;
import io.penstock.scheduler.group.GroupSnapshot;
import java.util.Locale;
import java.util.concurrent.TimeUnit;

/// Metrics, spans and flight-recorder events of one group. Owned by whoever has the group.
public final class GroupTelemetry implements SchedulingEvents {
    private final String group;
    private final MeterRegistry registry;
    private final RequestSpans spans;
    private final GroupGauges gauges;
    private ModelMeters meters;

    public GroupTelemetry(String group, MeterRegistry registry, RequestSpans spans) {
        this.group = group;
        this.registry = registry;
        this.spans = spans;
        gauges = new GroupGauges(registry, group);
    }

    /// How the group is, after each turn of its loop.
    public void published(GroupSnapshot snapshot) {
        gauges.set(snapshot);
    }

    private ModelMeters meters(Sequence sequence) {
        String model = sequence.request().model();
        if (meters == null || !meters.model.equals(model)) {
            meters = new ModelMeters(registry, model);
        }
        return meters;
    }

    @Override
    public void queued(Sequence sequence, long now) {
        commit(sequence, "queued", "");
    }

    @Override
    public void stepPlanned(StepRecord step, long now) {
        for (Sequence sequence : step.admitted()) {
            if (sequence.scheduledNanos() == now) {
                ModelMeters of = meters(sequence);
                of.promptTokens.increment(sequence.request().promptLength());
                of.queue.record(now - sequence.arrivedNanos(), TimeUnit.NANOSECONDS);
            }
            commit(sequence, "scheduled", "");
        }
        spans.start(step);
    }

    @Override
    public void token(Sequence sequence, long gap, long now) {
        ModelMeters of = meters(sequence);
        of.generationTokens.increment();
        if (gap >= 0) {
            of.betweenTokens.record(gap, TimeUnit.NANOSECONDS);
        } else {
            of.firstToken.record(now - sequence.arrivedNanos(), TimeUnit.NANOSECONDS);
            commit(sequence, "first token", "");
        }
    }

    @Override
    public void preempted(Sequence sequence) {
        meters(sequence).preemptions.increment();
        commit(sequence, "preempted", "");
    }

    @Override
    public void finished(Sequence sequence, String reason, long now) {
        ModelMeters of = meters(sequence);
        of.ended(reason).increment();
        of.endToEnd.record(now - sequence.arrivedNanos(), TimeUnit.NANOSECONDS);
        of.requestPromptTokens.record(sequence.request().promptLength());
        of.requestGenerationTokens.record(sequence.generated());
        of.requestMaxTokens.record(sequence.maxLength() - sequence.request().promptLength());
        if (sequence.firstTokenNanos() >= 0) {
            long scheduled = sequence.scheduledNanos();
            long first = sequence.firstTokenNanos();
            of.prefill.record(first - scheduled, TimeUnit.NANOSECONDS);
            of.decode.record(now - first, TimeUnit.NANOSECONDS);
            of.inference.record(now - scheduled, TimeUnit.NANOSECONDS);
        }
        commit(sequence, "finished", reason);
        spans.end(sequence, reason);
    }

    @Override
    public void failed(Sequence sequence, ErrorCategory category, long now) {
        meters(sequence).ended(category == null ? "abort" : "error").increment();
        commit(
                sequence,
                "failed",
                category == null ? "cancelled" : category.name().toLowerCase(Locale.ROOT));
        spans.end(sequence.span(), category);
    }

    @Override
    public void stepReported(StepRecord step, long now) {
        long nanos = now - step.sentNanos();
        if (!step.parts().isEmpty()) {
            ModelMeters of = meters(step.parts().getFirst().sequence());
            of.step.record(nanos, TimeUnit.NANOSECONDS);
            of.stepTokens.record(step.tokens());
        }
        spans.end(step);
        StepEvent event = new StepEvent();
        if (event.shouldCommit()) {
            event.group = group;
            event.number = step.number();
            event.rows = step.parts().size();
            event.tokens = step.tokens();
            event.inFlight = nanos;
            event.compute = step.computeMicros();
            event.wait = step.waitMicros();
            event.commit();
        }
    }

    @Override
    public void stepLost(StepRecord step) {
        spans.lost(step);
    }

    private static void commit(Sequence sequence, String stage, String reason) {
        SequenceEvent event = new SequenceEvent();
        if (event.shouldCommit()) {
            event.requestId = sequence.request().id();
            event.stage = stage;
            event.promptTokens = sequence.request().promptLength();
            event.generatedTokens = sequence.generated();
            event.reason = reason;
            event.commit();
        }
    }
}
