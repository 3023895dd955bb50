package io.penstock.gateway.telemetry;

import static io.penstock.gateway.fake.TinyGateway.given;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.sdk.trace.data.SpanData;
import io.penstock.gateway.fake.FakeScheduler;
import io.penstock.gateway.fake.FakeSchedulers;
import io.penstock.gateway.fake.KeptSpans;
import io.penstock.gateway.fake.Script;
import io.penstock.gateway.fake.TinyGateway;
import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import jakarta.inject.Inject;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import jdk.jfr.Recording;
import jdk.jfr.consumer.RecordedEvent;
import jdk.jfr.consumer.RecordingFile;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@QuarkusTest
@TestProfile(TinyGateway.class)
class TestTelemetry {
    private static final String TRACE = "0af7651916cd43dd8448eb211c80319c";

    private final FakeScheduler scheduler = FakeSchedulers.first();

    @Inject
    KeptSpans spans;

    @BeforeEach
    void ready() {
        TinyGateway.awaitReadiness(200);
    }

    private static void chat(String model) {
        given().contentType("application/json")
                .header("traceparent", "00-" + TRACE + "-b7ad6b7169203331-01")
                .body(
                        "{\"model\":\"%s\",\"seed\":3,\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":\"secret\"}]}"
                                .formatted(model))
                .post("/v1/chat/completions")
                .then()
                .statusCode(200);
    }

    @Test
    void theSpanJoinsTheCallersTraceAndTheSchedulersJoinsIt() throws InterruptedException {
        scheduler.plays(Script.saying("answer"));
        chat("tiny");
        String sent = scheduler.nextCall().request().getTraceContextMap().get("traceparent");
        assertThat(sent).startsWith("00-" + TRACE + "-").endsWith("-01");
        String id = sent.substring(36, 52);
        await().until(() -> spans.find(id).isPresent());
        SpanData span = spans.find(id).orElseThrow();
        assertThat(span.getName()).isEqualTo("chat tiny");
        assertThat(span.getTraceId()).isEqualTo(TRACE);
        assertThat(span.getAttributes().asMap())
                .containsEntry(AttributeKey.stringKey("gen_ai.operation.name"), "chat")
                .containsEntry(AttributeKey.stringKey("gen_ai.provider.name"), "penstock")
                .containsEntry(AttributeKey.stringKey("gen_ai.request.model"), "tiny")
                .containsEntry(AttributeKey.longKey("gen_ai.request.seed"), 3L)
                .containsEntry(AttributeKey.longKey("gen_ai.request.max_tokens"), 9L)
                .containsEntry(AttributeKey.longKey("gen_ai.usage.input_tokens"), 9L)
                .containsEntry(AttributeKey.longKey("gen_ai.usage.output_tokens"), 6L)
                .containsEntry(AttributeKey.stringArrayKey("gen_ai.response.finish_reasons"), List.of("stop"));
        assertThat(spans.all().toString()).doesNotContain("secret").doesNotContain("answer");
    }

    @Test
    void flightEventsMarkTheStages(@TempDir Path folder) throws Exception {
        scheduler.plays(Script.saying("answer"));
        Path file = folder.resolve("flight.jfr");
        try (Recording recording = new Recording()) {
            recording.enable("penstock.gateway.RequestReceived");
            recording.enable("penstock.gateway.FirstToken");
            recording.enable("penstock.gateway.RequestFinished");
            recording.start();
            chat("tiny");
            recording.stop();
            recording.dump(file);
        }
        assertThat(Files.size(file)).isPositive();
        List<RecordedEvent> events = RecordingFile.readAllEvents(file).stream()
                .sorted(Comparator.comparing(RecordedEvent::getStartTime))
                .toList();
        assertThat(events)
                .extracting(event -> event.getEventType().getName())
                .containsExactly(
                        "penstock.gateway.RequestReceived",
                        "penstock.gateway.FirstToken",
                        "penstock.gateway.RequestFinished");
        assertThat(events.getLast().getString("outcome")).isEqualTo("stop");
        assertThat(events.getLast().getInt("tokens")).isEqualTo(6);
    }
}
