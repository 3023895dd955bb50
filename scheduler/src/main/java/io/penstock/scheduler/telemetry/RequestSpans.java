package io.penstock.scheduler.telemetry;

import io.opentelemetry.api.OpenTelemetry;
import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanBuilder;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Context;
import io.penstock.api.TraceContexts;
import io.penstock.model.ErrorCategory;
import io.penstock.scheduler.batch.Sequence;
import io.penstock.scheduler.batch.StepRecord;
import jakarta.inject.Singleton;
import java.util.List;
import java.util.Map;
import org.eclipse.microprofile.config.inject.ConfigProperty;

/// The scheduler's spans: one a request, under the caller's, and one a step in which a sampled request has
/// a part. No span holds a token.
@Singleton
public class RequestSpans {
    private static final AttributeKey<List<String>> FINISH_REASONS =
            AttributeKey.stringArrayKey("gen_ai.response.finish_reasons");

    private final Tracer tracer;

    /// @param off whether nobody collects spans: the SDK would make them all the same
    RequestSpans(OpenTelemetry telemetry, @ConfigProperty(name = "quarkus.otel.sdk.disabled") boolean off) {
        tracer = (off ? OpenTelemetry.noop() : telemetry).getTracer("io.penstock.scheduler");
    }

    /// @param parent W3C trace context; may be empty
    public Span start(String model, Map<String, String> parent) {
        return tracer.spanBuilder("generate")
                .setParent(TraceContexts.read(parent))
                .setSpanKind(SpanKind.SERVER)
                .setAttribute("gen_ai.operation.name", "generate_content")
                .setAttribute("gen_ai.request.model", model)
                .startSpan();
    }

    /// @param category null where the client went away
    public void end(Span span, ErrorCategory category) {
        if (category == null) {
            span.setAttribute("error.type", "cancelled");
        } else {
            span.setStatus(StatusCode.ERROR, category.name());
            span.setAttribute("error.type", category.name());
        }
        span.end();
    }

    void end(Sequence sequence, String reason) {
        Span span = sequence.span();
        if (span.isRecording()) {
            span.setAttribute("gen_ai.usage.input_tokens", sequence.request().promptLength());
            span.setAttribute("gen_ai.usage.output_tokens", sequence.generated());
            span.setAttribute(FINISH_REASONS, List.of(reason));
            span.setAttribute("penstock.preemptions", sequence.preemptions());
        }
        span.end();
    }

    /// Gives the step a span if a sequence in it is sampled: under the first such one's, linked to the
    /// others'. So the trace of a lone request holds its steps.
    void start(StepRecord step) {
        SpanBuilder builder = null;
        for (StepRecord.Part part : step.parts()) {
            Span of = part.sequence().span();
            if (!of.getSpanContext().isSampled()) {
                continue;
            }
            if (builder == null) {
                builder = tracer.spanBuilder("step")
                        .setParent(Context.root().with(of))
                        .setAttribute("penstock.step.number", step.number())
                        .setAttribute("penstock.step.rows", step.parts().size())
                        .setAttribute("penstock.step.tokens", step.tokens());
            } else {
                builder.addLink(of.getSpanContext());
            }
        }
        if (builder != null) {
            Span span = builder.startSpan();
            step.traced(span, TraceContexts.of(span).getOrDefault("traceparent", ""));
        }
    }

    void end(StepRecord step) {
        Span span = step.span();
        if (span.isRecording()) {
            span.setAttribute("penstock.step.compute_micros", step.computeMicros());
            span.setAttribute("penstock.step.wait_micros", step.waitMicros());
        }
        span.end();
    }

    void lost(StepRecord step) {
        step.span().setStatus(StatusCode.ERROR, "the group's epoch ended");
        step.span().end();
    }
}
