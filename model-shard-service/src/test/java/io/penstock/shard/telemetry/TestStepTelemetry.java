package io.penstock.shard.telemetry;

import static org.assertj.core.api.Assertions.assertThat;

import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.opentelemetry.api.OpenTelemetry;
import io.opentelemetry.sdk.OpenTelemetrySdk;
import io.opentelemetry.sdk.common.CompletableResultCode;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.data.SpanData;
import io.opentelemetry.sdk.trace.export.SimpleSpanProcessor;
import io.opentelemetry.sdk.trace.export.SpanExporter;
import io.penstock.api.shard.Admission;
import io.penstock.api.shard.Row;
import io.penstock.api.shard.Step;
import io.penstock.shard.step.RankPlace;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.TimeUnit;
import jdk.jfr.Recording;
import jdk.jfr.consumer.RecordedEvent;
import jdk.jfr.consumer.RecordingFile;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TestStepTelemetry {
    private static final RankPlace PLACE = new RankPlace("g", "m", 1, 2, 0, 1, 4, 32);
    private static final String TRACE = "0af7651916cd43dd8448eb211c80319c";
    private final SimpleMeterRegistry registry = new SimpleMeterRegistry();

    @Test
    void countsWhatAStepDid() {
        StepTelemetry telemetry = new StepTelemetry(PLACE, registry, OpenTelemetry.noop());
        telemetry.configured(7, 100, 16);
        telemetry.stepDone(Step.newBuilder().setNumber(1).build(), 12, 3, 0, 5_000_000, 2_000_000);
        assertThat(registry.get("penstock.shard.tokens")
                        .tag("tp_rank", "1")
                        .counter()
                        .count())
                .isEqualTo(12);
        assertThat(registry.get("penstock.shard.sampled.tokens").counter().count())
                .isEqualTo(3);
        assertThat(registry.get("penstock.shard.step.compute").timer().totalTime(TimeUnit.MILLISECONDS))
                .isEqualTo(3);
        assertThat(registry.get("penstock.shard.step.wait").timer().totalTime(TimeUnit.MILLISECONDS))
                .isEqualTo(2);
        assertThat(registry.get("penstock.shard.epoch").gauge().value()).isEqualTo(7);
        assertThat(registry.get("penstock.shard.kv.blocks").gauge().value()).isEqualTo(100);
        telemetry.failed(7, 2, "FAILURE_CAUSE_PEER", "gone");
        telemetry.ended(7);
        assertThat(registry.get("penstock.shard.failures").counter().count()).isEqualTo(1);
        assertThat(registry.get("penstock.shard.epoch").gauge().value()).isZero();
    }

    @Test
    void aTracedStepHasASpanLinkedToItsRequests() {
        List<SpanData> spans = new ArrayList<>();
        SdkTracerProvider provider = SdkTracerProvider.builder()
                .addSpanProcessor(SimpleSpanProcessor.create(new Collector(spans)))
                .build();
        StepTelemetry telemetry = new StepTelemetry(
                PLACE,
                registry,
                OpenTelemetrySdk.builder().setTracerProvider(provider).build());
        String request = "00-11111111111111111111111111111111-2222222222222222-01";
        // Not traced itself, but it admits a request that is.
        telemetry.stepDone(
                Step.newBuilder()
                        .setNumber(1)
                        .addAdmissions(Admission.newBuilder().setSlot(2).putTraceContext("traceparent", request))
                        .build(),
                1,
                0,
                0,
                1,
                0);
        assertThat(spans).isEmpty();
        telemetry.stepDone(
                Step.newBuilder()
                        .setNumber(2)
                        .setTraceparent("00-" + TRACE + "-b7ad6b7169203331-01")
                        .addRows(Row.newBuilder().setSlot(1))
                        .addRows(Row.newBuilder().setSlot(2))
                        .build(),
                1,
                0,
                1_000,
                3_000,
                0);
        assertThat(spans).singleElement().satisfies(span -> {
            assertThat(span.getTraceId()).isEqualTo(TRACE);
            assertThat(span.getParentSpanId()).isEqualTo("b7ad6b7169203331");
            assertThat(span.getEndEpochNanos() - span.getStartEpochNanos()).isEqualTo(2_000);
            assertThat(span.getLinks())
                    .singleElement()
                    .satisfies(link ->
                            assertThat(link.getSpanContext().getSpanId()).isEqualTo("2222222222222222"));
        });
        // Gone with its slot.
        telemetry.stepDone(
                Step.newBuilder()
                        .setNumber(3)
                        .setTraceparent("00-" + TRACE + "-b7ad6b7169203331-01")
                        .addRetiredSlots(2)
                        .addRows(Row.newBuilder().setSlot(1))
                        .build(),
                1,
                0,
                0,
                1,
                0);
        assertThat(spans.getLast().getLinks()).isEmpty();
        provider.close();
    }

    @Test
    void theFlightRecorderSeesSteps(@TempDir Path folder) throws Exception {
        StepTelemetry telemetry = new StepTelemetry(PLACE, registry, OpenTelemetry.noop());
        Path file = Files.createTempFile(folder, "steps", ".jfr");
        try (Recording recording = new Recording()) {
            recording.enable("io.penstock.shard.Step");
            recording.start();
            telemetry.stepDone(Step.newBuilder().setNumber(9).build(), 12, 3, 0, 5_000_000, 2_000_000);
            recording.stop();
            recording.dump(file);
        }
        List<RecordedEvent> events = RecordingFile.readAllEvents(file);
        assertThat(events).singleElement().satisfies(event -> {
            assertThat(event.getLong("number")).isEqualTo(9);
            assertThat(event.getInt("tokens")).isEqualTo(12);
            assertThat(event.getDuration("compute").toMillis()).isEqualTo(3);
            assertThat(event.getDuration("wait").toMillis()).isEqualTo(2);
        });
    }

    private record Collector(List<SpanData> spans) implements SpanExporter {
        @Override
        public CompletableResultCode export(Collection<SpanData> batch) {
            spans.addAll(batch);
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
}
