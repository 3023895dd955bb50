package io.penstock.gateway.telemetry;

import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.DistributionSummary;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Tags;
import io.micrometer.core.instrument.Timer;
import java.time.Duration;
import java.util.Arrays;

/// The meters of one operation on one model. Buckets are those of the conventions, and past their last, which queued
/// and long answers exceed.
final class GenerationMeters {
    private static final double[] DURATION = {
        0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68, 655.36
    };
    private static final double[] FIRST_TOKEN = {
        0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160
    };
    private static final double[] PER_TOKEN = {
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 10
    };
    private static final double[] TOKENS = {
        1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864
    };

    private final MeterRegistry registry;
    private final Tags genAi;
    private final Tags vllm;

    final Timer firstToken;
    final Timer vllmFirstToken;
    final Timer perOutputToken;
    final Timer interToken;
    final Timer endToEnd;
    final DistributionSummary inputTokens;
    final DistributionSummary outputTokens;
    final DistributionSummary promptTokens;
    final DistributionSummary generationTokens;

    GenerationMeters(MeterRegistry registry, String operation, String model) {
        this.registry = registry;
        genAi = Tags.of(
                "gen_ai.operation.name",
                operation,
                "gen_ai.provider.name",
                GenerationTelemetry.PROVIDER,
                "gen_ai.request.model",
                model,
                "gen_ai.response.model",
                model);
        vllm = Tags.of("model_name", model);
        firstToken = timer("gen_ai.server.time_to_first_token", genAi, FIRST_TOKEN);
        perOutputToken = timer("gen_ai.server.time_per_output_token", genAi, PER_TOKEN);
        inputTokens = tokens("gen_ai.client.token.usage", genAi.and("gen_ai.token.type", "input"));
        outputTokens = tokens("gen_ai.client.token.usage", genAi.and("gen_ai.token.type", "output"));
        vllmFirstToken = timer("vllm:time_to_first_token", vllm, FIRST_TOKEN);
        interToken = timer("vllm:inter_token_latency", vllm, PER_TOKEN);
        endToEnd = timer("vllm:e2e_request_latency", vllm, DURATION);
        promptTokens = tokens("vllm:request_prompt_tokens", vllm);
        generationTokens = tokens("vllm:request_generation_tokens", vllm);
    }

    /// @param error empty: none
    Timer duration(String error) {
        return timer("gen_ai.server.request.duration", genAi.and("error.type", error), DURATION);
    }

    Counter finished(String reason) {
        return Counter.builder("vllm:request_success")
                .tags(vllm.and("finished_reason", reason))
                .register(registry);
    }

    private Timer timer(String name, Tags tags, double[] seconds) {
        return Timer.builder(name)
                .tags(tags)
                .serviceLevelObjectives(Arrays.stream(seconds)
                        .mapToObj(bound -> Duration.ofNanos(Math.round(bound * 1e9)))
                        .toArray(Duration[]::new))
                .register(registry);
    }

    private DistributionSummary tokens(String name, Tags tags) {
        return DistributionSummary.builder(name)
                .tags(tags)
                .serviceLevelObjectives(TOKENS)
                .register(registry);
    }
}
