package io.penstock.shard.telemetry;

import io.opentelemetry.api.OpenTelemetry;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanBuilder;
import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.api.trace.Tracer;
import io.penstock.api.TraceContexts;
import io.penstock.api.shard.Admission;
import io.penstock.api.shard.Row;
import io.penstock.api.shard.Step;
import io.penstock.shard.step.RankPlace;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/// A span for each step that the scheduler traces, under the scheduler's own and linked to the requests in
/// it.
final class StepSpans {
    private final RankPlace place;
    private final Tracer tracer;
    // Of the sequences whose request is traced.
    private final Map<Integer, SpanContext> requests = new HashMap<>();

    StepSpans(RankPlace place, OpenTelemetry telemetry) {
        this.place = place;
        tracer = telemetry.getTracer("io.penstock.shard");
    }

    void forget() {
        requests.clear();
    }

    void stepDone(Step step, int tokens, long startNanos, long endNanos, long waitNanos) {
        for (int i = 0; i < step.getRetiredSlotsCount() && !requests.isEmpty(); i++) {
            requests.remove(step.getRetiredSlots(i));
        }
        for (int i = 0; i < step.getAdmissionsCount(); i++) {
            admit(step.getAdmissions(i));
        }
        if (step.getTraceparent().isEmpty()) {
            return;
        }
        // The monotonic clock's times, moved to the wall clock's.
        long offset = TimeUnit.MILLISECONDS.toNanos(System.currentTimeMillis()) - System.nanoTime();
        SpanBuilder builder = tracer.spanBuilder("compute step")
                .setParent(TraceContexts.read(Map.of("traceparent", step.getTraceparent())))
                .setStartTimestamp(startNanos + offset, TimeUnit.NANOSECONDS)
                .setAttribute("penstock.step.number", step.getNumber())
                .setAttribute("penstock.step.rows", step.getRowsCount())
                .setAttribute("penstock.step.tokens", tokens)
                .setAttribute("penstock.step.wait_micros", waitNanos / 1_000)
                .setAttribute("penstock.tp_rank", place.tpRank())
                .setAttribute("penstock.pp_stage", place.ppStage());
        for (Row row : step.getRowsList()) {
            SpanContext request = requests.get(row.getSlot());
            if (request != null) {
                builder.addLink(request);
            }
        }
        builder.startSpan().end(endNanos + offset, TimeUnit.NANOSECONDS);
    }

    private void admit(Admission admission) {
        requests.remove(admission.getSlot());
        if (admission.getTraceContextCount() > 0) {
            SpanContext request = Span.fromContext(TraceContexts.read(admission.getTraceContextMap()))
                    .getSpanContext();
            if (request.isValid()) {
                requests.put(admission.getSlot(), request);
            }
        }
    }
}
