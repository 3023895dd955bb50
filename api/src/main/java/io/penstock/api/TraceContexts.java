package io.penstock.api;

import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.propagation.W3CTraceContextPropagator;
import io.opentelemetry.context.Context;
import io.opentelemetry.context.propagation.TextMapGetter;
import java.util.HashMap;
import java.util.Map;

/// Trace contexts as messages between services carry them: by the names of W3C's headers, `traceparent`
/// and `tracestate` (https://www.w3.org/TR/trace-context/).
public final class TraceContexts {
    private static final TextMapGetter<Map<String, String>> GETTER = new TextMapGetter<>() {
        @Override
        public Iterable<String> keys(Map<String, String> carrier) {
            return carrier.keySet();
        }

        @Override
        public String get(Map<String, String> carrier, String key) {
            return carrier == null ? null : carrier.get(key);
        }
    };

    private TraceContexts() {}

    /// @return without a span where the fields name none
    public static Context read(Map<String, String> fields) {
        return W3CTraceContextPropagator.getInstance().extract(Context.root(), fields, GETTER);
    }

    /// @return empty where the span is not recorded
    public static Map<String, String> of(Span span) {
        Map<String, String> fields = new HashMap<>();
        if (span.getSpanContext().isSampled()) {
            W3CTraceContextPropagator.getInstance().inject(Context.root().with(span), fields, Map::put);
        }
        return fields;
    }
}
