package io.penstock.gateway.telemetry;

import io.micrometer.core.instrument.MeterRegistry;
import io.opentelemetry.api.OpenTelemetry;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanBuilder;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Context;
import io.penstock.model.sampling.SamplingParameters;
import jakarta.enterprise.context.ApplicationScoped;
import jakarta.inject.Inject;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.eclipse.microprofile.config.inject.ConfigProperty;

/// Spans and metrics of generation, named as the OpenTelemetry GenAI conventions
/// (open-telemetry/semantic-conventions-genai) and vLLM's dashboards have them. What was said is in neither.
@ApplicationScoped
public class GenerationTelemetry {
    static final String PROVIDER = "penstock";

    private record Key(String operation, String model) {}

    private final Tracer tracer;
    private final OpenTelemetry openTelemetry;
    private final MeterRegistry registry;
    private final Map<Key, GenerationMeters> meters = new ConcurrentHashMap<>();

    /// @param off whether nobody collects spans: the SDK would make them all the same
    @Inject
    public GenerationTelemetry(
            OpenTelemetry openTelemetry,
            MeterRegistry registry,
            @ConfigProperty(name = "quarkus.otel.sdk.disabled") boolean off) {
        this.openTelemetry = openTelemetry;
        this.tracer = (off ? OpenTelemetry.noop() : openTelemetry).getTracer("io.penstock.gateway");
        this.registry = registry;
    }

    /// @param arrival of the request, by [System#nanoTime()]
    /// @param parent of the span
    public GenerationTrace begin(Generation request, long arrival, Context parent) {
        String model = request.model();
        SamplingParameters sampling = request.sampling();
        SpanBuilder building = tracer.spanBuilder(request.operation() + " " + model)
                .setParent(parent)
                // The conventions have CLIENT for the one who asks for an inference, and name no other.
                .setSpanKind(SpanKind.CLIENT)
                .setAttribute("gen_ai.operation.name", request.operation())
                .setAttribute("gen_ai.provider.name", PROVIDER)
                .setAttribute("gen_ai.request.model", model)
                .setAttribute("gen_ai.request.stream", request.streams())
                .setAttribute("gen_ai.request.temperature", sampling.temperature())
                .setAttribute("gen_ai.request.top_p", sampling.topP())
                .setAttribute("gen_ai.request.top_k", sampling.topK())
                .setAttribute("gen_ai.request.seed", sampling.seed())
                .setAttribute("gen_ai.request.frequency_penalty", sampling.frequencyPenalty())
                .setAttribute("gen_ai.request.presence_penalty", sampling.presencePenalty())
                .setAttribute("gen_ai.request.choice.count", request.choices())
                .setAttribute("gen_ai.output.type", "text")
                .setAttribute("gen_ai.response.id", request.id())
                .setAttribute("gen_ai.response.model", model);
        request.maxTokens().ifPresent(limit -> building.setAttribute("gen_ai.request.max_tokens", limit));
        Span span = building.startSpan();
        Map<String, String> carrier = new HashMap<>();
        openTelemetry
                .getPropagators()
                .getTextMapPropagator()
                .inject(parent.with(span), carrier, (map, key, value) -> map.put(key, value));
        carrier.keySet().retainAll(List.of("traceparent", "tracestate"));
        return new GenerationTrace(
                request,
                arrival,
                span,
                carrier,
                meters.computeIfAbsent(
                        new Key(request.operation(), model),
                        key -> new GenerationMeters(registry, key.operation(), key.model())));
    }
}
