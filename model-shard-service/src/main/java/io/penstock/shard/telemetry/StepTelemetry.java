package io.penstock.shard.telemetry;

import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Tags;
import io.micrometer.core.instrument.Timer;
import io.opentelemetry.api.OpenTelemetry;
import io.penstock.api.shard.Step;
import io.penstock.shard.step.RankPlace;
import io.penstock.shard.step.StepObserver;
import java.util.concurrent.TimeUnit;

/// Metrics, spans and flight-recorder events of the step loop.
public final class StepTelemetry implements StepObserver {
    private final MeterRegistry registry;
    private final StepSpans spans;
    private final Tags tags;
    private final Timer compute;
    private final Timer wait;
    private final Counter tokens;
    private final Counter sampledTokens;
    private volatile long epoch;
    private volatile int kvBlocks;

    public StepTelemetry(RankPlace place, MeterRegistry registry, OpenTelemetry telemetry) {
        this.registry = registry;
        spans = new StepSpans(place, telemetry);
        tags = Tags.of(
                "group", place.group(),
                "tp_rank", String.valueOf(place.tpRank()),
                "pp_stage", String.valueOf(place.ppStage()));
        compute = Timer.builder("penstock.shard.step.compute")
                .description("Time of a step that this rank computed")
                .tags(tags)
                .publishPercentileHistogram()
                .register(registry);
        wait = Timer.builder("penstock.shard.step.wait")
                .description("Time of a step that this rank waited for its peers")
                .tags(tags)
                .publishPercentileHistogram()
                .register(registry);
        tokens = Counter.builder("penstock.shard.tokens")
                .description("Tokens computed, of prompts and generated")
                .tags(tags)
                .register(registry);
        sampledTokens = Counter.builder("penstock.shard.sampled.tokens")
                .description("Tokens sampled by this rank")
                .tags(tags)
                .register(registry);
        Gauge.builder("penstock.shard.epoch", this, self -> self.epoch)
                .description("Epoch that this rank serves; 0: none")
                .tags(tags)
                .register(registry);
        Gauge.builder("penstock.shard.kv.blocks", this, self -> self.kvBlocks)
                .description("KV blocks that this rank has room for")
                .tags(tags)
                .register(registry);
    }

    @Override
    public void configured(long number, int blocks, int blockSize) {
        epoch = number;
        kvBlocks = blocks;
    }

    @Override
    public void ended(long number) {
        epoch = 0;
        spans.forget();
    }

    @Override
    public void stepDone(Step step, int stepTokens, int sampled, long startNanos, long endNanos, long waitNanos) {
        long computed = endNanos - startNanos - waitNanos;
        compute.record(computed, TimeUnit.NANOSECONDS);
        wait.record(waitNanos, TimeUnit.NANOSECONDS);
        tokens.increment(stepTokens);
        sampledTokens.increment(sampled);
        spans.stepDone(step, stepTokens, startNanos, endNanos, waitNanos);
        StepEvent event = new StepEvent();
        if (event.shouldCommit()) {
            event.number = step.getNumber();
            event.rows = step.getRowsCount();
            event.tokens = stepTokens;
            event.sampled = sampled;
            event.compute = computed;
            event.wait = waitNanos;
            event.commit();
        }
    }

    @Override
    public void failed(long number, long step, String cause, String message) {
        registry.counter("penstock.shard.failures", tags.and("cause", cause)).increment();
    }
}
