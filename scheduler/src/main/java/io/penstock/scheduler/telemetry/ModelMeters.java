package io.penstock.scheduler.telemetry;

import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.DistributionSummary;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Timer;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;

/// The meters of one model, under the names that vLLM's users know; the registry adds `_seconds` and
/// `_total`.
final class ModelMeters {
    private static final double[] REQUEST_SECONDS = {
        0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1_920, 7_680
    };
    private static final double[] FIRST_TOKEN_SECONDS = {
        0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640,
        2_560
    };
    private static final double[] BETWEEN_TOKENS_SECONDS = {
        0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80
    };
    private static final double[] TOKENS = {
        1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000,
        1_000_000
    };

    final String model;
    final Counter promptTokens;
    final Counter generationTokens;
    final Counter preemptions;
    final Timer firstToken;
    final Timer betweenTokens;
    final Timer endToEnd;
    final Timer queue;
    final Timer prefill;
    final Timer decode;
    final Timer inference;
    final DistributionSummary requestPromptTokens;
    final DistributionSummary requestGenerationTokens;
    final DistributionSummary requestMaxTokens;
    final Timer step;
    final DistributionSummary stepTokens;

    private final MeterRegistry registry;

    ModelMeters(MeterRegistry registry, String model) {
        this.registry = registry;
        this.model = model;
        promptTokens = counter("vllm:prompt_tokens", "Prompt tokens of requests begun");
        generationTokens = counter("vllm:generation_tokens", "Tokens generated");
        preemptions = counter("vllm:num_preemptions", "Sequences that gave up their KV blocks to be computed anew");
        firstToken = timer("vllm:time_to_first_token", "From arrival to the first token", FIRST_TOKEN_SECONDS);
        betweenTokens = timer("vllm:inter_token_latency", "From a token to the next", BETWEEN_TOKENS_SECONDS);
        endToEnd = timer("vllm:e2e_request_latency", "From arrival to the end", REQUEST_SECONDS);
        queue = timer("vllm:request_queue_time", "From arrival to the first step", REQUEST_SECONDS);
        prefill = timer("vllm:request_prefill_time", "From the first step to the first token", REQUEST_SECONDS);
        decode = timer("vllm:request_decode_time", "From the first token to the last", REQUEST_SECONDS);
        inference = timer("vllm:request_inference_time", "From the first step to the last token", REQUEST_SECONDS);
        requestPromptTokens = tokens("vllm:request_prompt_tokens", "Prompt tokens of a request");
        requestGenerationTokens = tokens("vllm:request_generation_tokens", "Generated tokens of a request");
        requestMaxTokens = tokens("vllm:request_max_num_generation_tokens", "Tokens a request asked for at most");
        step = timer("penstock:step_time", "From a step sent to reported by all ranks", BETWEEN_TOKENS_SECONDS);
        stepTokens = tokens("penstock:step_tokens", "Tokens computed by a step");
    }

    /// @param reason as OpenAI names it, "abort" where the client went away, "error" for failures
    Counter ended(String reason) {
        return Counter.builder("vllm:request_success")
                .description("Requests ended, by how")
                .tag("model_name", model)
                .tag("finished_reason", reason)
                .register(registry);
    }

    private Counter counter(String name, String description) {
        return Counter.builder(name)
                .description(description)
                .tag("model_name", model)
                .register(registry);
    }

    private Timer timer(String name, String description, double[] buckets) {
        List<Duration> durations = Arrays.stream(buckets)
                .mapToObj(seconds -> Duration.ofNanos((long) (seconds * 1e9)))
                .toList();
        return Timer.builder(name)
                .description(description)
                .tag("model_name", model)
                .serviceLevelObjectives(durations.toArray(Duration[]::new))
                .register(registry);
    }

    private DistributionSummary tokens(String name, String description) {
        return DistributionSummary.builder(name)
                .description(description)
                .tag("model_name", model)
                .serviceLevelObjectives(TOKENS)
                .register(registry);
    }
}
