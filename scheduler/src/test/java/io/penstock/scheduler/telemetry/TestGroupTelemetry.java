package io.penstock.scheduler.telemetry;

import static org.assertj.core.api.Assertions.assertThat;

import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.sdk.OpenTelemetrySdk;
import io.opentelemetry.sdk.testing.exporter.InMemorySpanExporter;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.data.SpanData;
import io.opentelemetry.sdk.trace.export.SimpleSpanProcessor;
import io.penstock.api.TraceContexts;
import io.penstock.scheduler.group.FakeClient;
import io.penstock.scheduler.group.FakeCluster;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import jdk.jfr.Recording;
import jdk.jfr.consumer.RecordedEvent;
import jdk.jfr.consumer.RecordingFile;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// What an operator sees of a request, end to end; and that a token is not among it.
final class TestGroupTelemetry {
    private static final String TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
    private static final String CALLER = "00f067aa0ba902b7";

    private final InMemorySpanExporter exporter = InMemorySpanExporter.create();
    private final RequestSpans spans = new RequestSpans(
            OpenTelemetrySdk.builder()
                    .setTracerProvider(SdkTracerProvider.builder()
                            .addSpanProcessor(SimpleSpanProcessor.create(exporter))
                            .build())
                    .build(),
            false);
    private final SimpleMeterRegistry registry = new SimpleMeterRegistry();
    private final FakeCluster cluster = new FakeCluster(
                    FakeCluster.limits(4, 32, 8, 16), 1, 1, 64, 256, new GroupTelemetry("g", registry, spans))
            .serving();

    private FakeClient traced(int promptLength, int maxTokens, String flags) {
        FakeClient client = FakeClient.of(promptLength, maxTokens);
        client.span = spans.start("fake", Map.of("traceparent", "00-" + TRACE + "-" + CALLER + "-" + flags));
        client.trace = TraceContexts.of(client.span);
        return client;
    }

    @Test
    void aTraceLeadsFromTheCallerThroughTheRequestToItsSteps() {
        FakeClient client = traced(5, 3, "01");
        cluster.submit(client);
        cluster.run();
        SpanData request = named("generate").getFirst();
        assertThat(request.getTraceId()).isEqualTo(TRACE);
        assertThat(request.getParentSpanId()).isEqualTo(CALLER);
        assertThat(request.getAttributes().asMap().toString())
                .contains("gen_ai.usage.input_tokens=5", "gen_ai.usage.output_tokens=3");
        List<SpanData> steps = named("step");
        assertThat(steps).hasSize(3).allSatisfy(step -> {
            assertThat(step.getTraceId()).isEqualTo(TRACE);
            assertThat(step.getParentSpanId()).isEqualTo(request.getSpanId());
        });
        assertThat(cluster.ranks.getFirst().traceparents)
                .containsExactlyElementsOf(steps.stream()
                        .map(step -> "00-" + TRACE + "-" + step.getSpanId() + "-01")
                        .toList());
        assertThat(cluster.ranks.getFirst().admittedTraces)
                .containsExactly(Map.of("traceparent", "00-" + TRACE + "-" + request.getSpanId() + "-01"));
    }

    @Test
    void aStepIsLinkedToEachRequestInIt() {
        FakeClient first = traced(5, 10, "01");
        FakeClient second = traced(5, 10, "01");
        cluster.group.submit(first.begin());
        cluster.submit(second);
        cluster.run();
        assertThat(named("step"))
                .isNotEmpty()
                .allSatisfy(step -> assertThat(step.getLinks())
                        .extracting(link -> link.getSpanContext().getSpanId())
                        .containsExactly(second.span.getSpanContext().getSpanId()));
    }

    @Test
    void whatIsNotSampledCostsNoStepSpan() {
        FakeClient client = traced(5, 3, "00");
        cluster.submit(client);
        cluster.run();
        assertThat(exporter.getFinishedSpanItems()).isEmpty();
        assertThat(cluster.ranks.getFirst().traceparents).hasSize(3).containsOnly("");
    }

    @Test
    void aCancelledRequestsSpanEnds() {
        FakeClient client = traced(5, 100, "01");
        cluster.submit(client);
        cluster.cancel(client);
        cluster.run();
        SpanData request = named("generate").getFirst();
        assertThat(request.getAttributes().asMap().toString()).contains("error.type=cancelled");
        assertThat(request.getStatus().getStatusCode()).isEqualTo(StatusCode.UNSET);
    }

    private List<SpanData> named(String name) {
        return exporter.getFinishedSpanItems().stream()
                .filter(span -> span.getName().equals(name))
                .toList();
    }

    @Test
    void countsRequestsTokensAndTimes() {
        cluster.submit(FakeClient.of(5, 3));
        FakeClient gone = FakeClient.of(7, 100);
        cluster.submit(gone);
        while (gone.got.isEmpty()) {
            assertThat(cluster.step()).isTrue();
        }
        cluster.now += 1_000_000;
        cluster.cancel(gone);
        cluster.run();
        assertThat(registry.get("vllm:prompt_tokens").counter().count()).isEqualTo(12);
        assertThat(registry.get("vllm:generation_tokens").counter().count()).isEqualTo(3 + gone.got.size());
        assertThat(registry.get("vllm:request_success")
                        .tag("finished_reason", "length")
                        .counter()
                        .count())
                .isEqualTo(1);
        assertThat(registry.get("vllm:request_success")
                        .tag("finished_reason", "abort")
                        .counter()
                        .count())
                .isEqualTo(1);
        assertThat(registry.get("vllm:time_to_first_token").timer().count()).isEqualTo(2);
        assertThat(registry.get("vllm:inter_token_latency").timer().count()).isEqualTo(3 + gone.got.size() - 2);
        assertThat(registry.get("vllm:request_queue_time").timer().count()).isEqualTo(2);
        assertThat(registry.get("vllm:e2e_request_latency").timer().count()).isEqualTo(1);
    }

    @Test
    void theFlightRecorderShowsARequestsStages(@TempDir Path folder) throws Exception {
        Path file = folder.resolve("events.jfr");
        try (Recording recording = new Recording()) {
            recording.enable("io.penstock.scheduler.Sequence");
            recording.enable("io.penstock.scheduler.Step");
            recording.start();
            cluster.submit(FakeClient.of(5, 3));
            cluster.run();
            recording.stop();
            recording.dump(file);
        }
        List<RecordedEvent> events = RecordingFile.readAllEvents(file);
        assertThat(events.stream()
                        .filter(event -> event.getEventType().getName().equals("io.penstock.scheduler.Sequence"))
                        .map(event -> event.getString("stage")))
                .containsExactly("queued", "scheduled", "first token", "finished");
        assertThat(events.stream()
                        .filter(event -> event.getEventType().getName().equals("io.penstock.scheduler.Step"))
                        .map(event -> event.getLong("number")))
                .containsExactly(1L, 2L, 3L);
    }
}
