package io.penstock.cli.system;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import io.opentelemetry.proto.trace.v1.Span;
import io.penstock.cli.cluster.LocalCluster;
import io.penstock.cli.cluster.ServiceProcess;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/// Whoever watches the system sees one request on its whole way, and never what was said in it.
final class SystemTestTrace {
    private static final String TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
    private static final String CALLER = "00f067aa0ba902b7";
    private static final String SECRET = "quinquereme";
    private static final int TOKENS = 12;

    @Test
    void oneTraceLeadsFromTheRequestToEveryRankAndHoldsNoText() throws Exception {
        try (Collector collector = new Collector();
                LocalCluster cluster = Clusters.start(1, 2, collector.configuration())) {
            String answer = chat(cluster.gateway());
            Clusters.await("the spans of all services", () -> {
                List<Collector.Sent> spans = collector.trace(TRACE);
                // Each service sends its own when it likes.
                return named(spans, "compute step").size() >= 2 * TOKENS
                        && named(spans, "step").size() >= TOKENS
                        && !named(spans, "generate").isEmpty()
                        && !named(spans, "chat " + Clusters.MODEL).isEmpty()
                        && spans.stream()
                                .anyMatch(sent -> sent.span().getKind() == Span.SpanKind.SPAN_KIND_SERVER
                                        && sent.service().equals("penstock-gateway"));
            });
            List<Collector.Sent> spans = collector.trace(TRACE);
            checkTheWay(spans);
            assertThat(collector.all().toString())
                    .doesNotContainIgnoringCase(SECRET)
                    .doesNotContain(answer);
            for (ServiceProcess service : cluster.services()) {
                assertThat(get(service.http().resolve("/q/metrics")))
                        .as("metrics of " + service.name())
                        .doesNotContainIgnoringCase(SECRET)
                        .doesNotContain(answer);
            }
            checkMetrics(
                    get(cluster.gateway().resolve("/q/metrics")),
                    get(cluster.service("scheduler").http().resolve("/q/metrics")));
            try (Stream<Path> logs = Files.walk(cluster.logs())) {
                for (Path log : logs.filter(Files::isRegularFile).toList()) {
                    assertThat(Files.readString(log))
                            .as(log.toString())
                            .doesNotContainIgnoringCase(SECRET)
                            .doesNotContain(answer);
                }
            }
        }
    }

    private static void checkTheWay(List<Collector.Sent> spans) {
        Collector.Sent request = spans.stream()
                .filter(sent -> sent.parent().equals(CALLER))
                .findFirst()
                .orElseThrow();
        assertThat(request.service()).isEqualTo("penstock-gateway");
        Collector.Sent chat = one(spans, "chat " + Clusters.MODEL);
        assertThat(chat.parent()).isEqualTo(request.id());
        assertThat(chat.attribute("gen_ai.operation.name")).isEqualTo("chat");
        assertThat(chat.attribute("gen_ai.provider.name")).isEqualTo("penstock");
        assertThat(chat.attribute("gen_ai.request.model")).isEqualTo(Clusters.MODEL);
        assertThat(chat.attribute("gen_ai.usage.output_tokens")).isEqualTo(Integer.toString(TOKENS));
        Collector.Sent generate = one(spans, "generate");
        assertThat(generate.service()).isEqualTo("penstock-scheduler");
        assertThat(generate.parent()).isEqualTo(chat.id());
        List<Collector.Sent> steps = named(spans, "step");
        assertThat(steps)
                .hasSizeGreaterThanOrEqualTo(TOKENS)
                .allMatch(step -> step.parent().equals(generate.id()));
        List<String> stepIds = steps.stream().map(Collector.Sent::id).toList();
        for (String stage : List.of("0", "1")) {
            List<Collector.Sent> computed = named(spans, "compute step").stream()
                    .filter(sent -> sent.attribute("penstock.pp_stage").equals(stage))
                    .toList();
            assertThat(computed).as("steps of stage " + stage).hasSizeGreaterThanOrEqualTo(TOKENS);
            assertThat(computed)
                    .allMatch(sent -> stepIds.contains(sent.parent()))
                    .allMatch(sent -> sent.links().contains(generate.id()));
        }
    }

    private static void checkMetrics(String gateway, String scheduler) {
        for (String name : List.of(
                "vllm:time_to_first_token_seconds_bucket",
                "vllm:inter_token_latency_seconds_bucket",
                "vllm:e2e_request_latency_seconds_bucket",
                "vllm:request_success_total",
                "vllm:request_prompt_tokens_bucket",
                "vllm:request_generation_tokens_bucket",
                "gen_ai_server_request_duration_seconds_bucket")) {
            assertThat(gateway).contains(name);
        }
        for (String name : List.of(
                "vllm:num_requests_running",
                "vllm:num_requests_waiting",
                "vllm:kv_cache_usage_perc",
                "vllm:num_preemptions_total",
                "vllm:prompt_tokens_total",
                "vllm:generation_tokens_total",
                "vllm:request_queue_time_seconds")) {
            assertThat(scheduler).contains(name);
        }
    }

    private static Collector.Sent one(List<Collector.Sent> spans, String name) {
        List<Collector.Sent> found = named(spans, name);
        assertThat(found).as(name).hasSize(1);
        return found.getFirst();
    }

    private static List<Collector.Sent> named(List<Collector.Sent> spans, String name) {
        return spans.stream().filter(sent -> sent.span().getName().equals(name)).toList();
    }

    private static String chat(URI gateway) throws IOException, InterruptedException {
        String body = """
                {"model":"%s","max_tokens":%d,"ignore_eos":true,"temperature":0,
                 "messages":[{"role":"user","content":"Tell me about a %s of Nineveh."}]}
                """.formatted(Clusters.MODEL, TOKENS, SECRET);
        HttpResponse<String> response = send(HttpRequest.newBuilder(gateway.resolve("/v1/chat/completions"))
                .header("content-type", "application/json")
                .header("traceparent", "00-%s-%s-01".formatted(TRACE, CALLER))
                .POST(HttpRequest.BodyPublishers.ofString(body)));
        assertThat(response.statusCode()).as(response.body()).isEqualTo(200);
        JsonNode answer = Client.JSON.readTree(response.body());
        String text = answer.at("/choices/0/message/content").textValue();
        assertThat(text).hasSizeGreaterThan(20);
        return text;
    }

    private static String get(URI uri) throws IOException, InterruptedException {
        HttpResponse<String> response = send(HttpRequest.newBuilder(uri));
        assertThat(response.statusCode()).as(uri.toString()).isEqualTo(200);
        return response.body();
    }

    private static HttpResponse<String> send(HttpRequest.Builder request) throws IOException, InterruptedException {
        try (HttpClient http =
                HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build()) {
            return http.send(request.build(), HttpResponse.BodyHandlers.ofString());
        }
    }
}
