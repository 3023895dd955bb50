package io.penstock.gateway.fake;

import io.opentelemetry.sdk.common.CompletableResultCode;
import io.opentelemetry.sdk.trace.data.SpanData;
import io.opentelemetry.sdk.trace.export.SpanExporter;
import jakarta.enterprise.context.ApplicationScoped;
import java.util.Collection;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CopyOnWriteArrayList;

/// Spans that were ended, kept where a test sees them. (OpenTelemetry's own in-memory exporter comes with a context
/// storage that takes Quarkus' place.)
@ApplicationScoped
public class KeptSpans implements SpanExporter {
    private final List<SpanData> kept = new CopyOnWriteArrayList<>();

    public List<SpanData> all() {
        return List.copyOf(kept);
    }

    public Optional<SpanData> find(String spanId) {
        return kept.stream().filter(span -> span.getSpanId().equals(spanId)).findFirst();
    }

    public void forget() {
        kept.clear();
    }

    @Override
    public CompletableResultCode export(Collection<SpanData> spans) {
        kept.addAll(spans);
        return CompletableResultCode.ofSuccess();
    }

    @Override
    public CompletableResultCode flush() {
        return CompletableResultCode.ofSuccess();
    }

    @Override
    public CompletableResultCode shutdown() {
        return CompletableResultCode.ofSuccess();
    }
}
