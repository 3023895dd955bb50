package io.penstock.loader.transfer;

import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Timer;
import java.time.Duration;
import java.util.function.IntSupplier;
import java.util.function.LongSupplier;

/// What the transfers count.
public final class LoaderMetrics {
    /// The cache.
    public static final String FAST = "fast";
    /// The tier behind it.
    public static final String DURABLE = "durable";

    private static final String TIER = "tier";

    private final MeterRegistry registry;

    public LoaderMetrics(MeterRegistry registry) {
        this.registry = registry;
    }

    /// Gauges of the transfers that run in this process.
    void watch(IntSupplier limit, IntSupplier running, LongSupplier buffers) {
        Gauge.builder("penstock.loader.parallel.limit", limit::getAsInt)
                .description("GETs that may run at once now")
                .register(registry);
        Gauge.builder("penstock.loader.parallel.running", running::getAsInt)
                .description("GETs that run")
                .register(registry);
        Gauge.builder("penstock.loader.buffer.bytes", buffers::getAsLong)
                .description("native memory of the connections' buffers")
                .register(registry);
    }

    /// @param source its kind: `oci`, `hf`; `durable` for what came from the tier behind
    void fetched(String source, long bytes) {
        registry.counter("penstock.loader.fetched.bytes", "source", source).increment((double) bytes);
    }

    void part(String source, Duration duration) {
        Timer.builder("penstock.loader.part.duration")
                .tag("source", source)
                .publishPercentileHistogram()
                .register(registry)
                .record(duration);
    }

    /// Bytes that were asked for and were there already.
    ///
    /// @param tier [#FAST] or [#DURABLE], as below
    void hit(String tier, long bytes) {
        registry.counter("penstock.loader.cache.hit.bytes", TIER, tier).increment((double) bytes);
    }

    /// What a tier's volume can still take, in bytes.
    void watchVolume(String tier, LongSupplier free) {
        Gauge.builder("penstock.loader.cache.free.bytes", free::getAsLong)
                .tag(TIER, tier)
                .description("bytes that the tier's volume can still take")
                .register(registry);
    }

    /// Bytes that were copied to the durable tier.
    void demoted(long bytes) {
        registry.counter("penstock.loader.demoted.bytes").increment((double) bytes);
    }

    /// A tier could not be read or written, and another one had to do.
    void tierFailure(String tier) {
        registry.counter("penstock.loader.tier.failures", TIER, tier).increment();
    }

    /// Bytes that were sent into a bucket.
    public void pushed(long bytes) {
        registry.counter("penstock.loader.pushed.bytes").increment((double) bytes);
    }

    public void retry(String cause) {
        registry.counter("penstock.loader.retries", "cause", cause).increment();
    }

    void evicted(String tier) {
        registry.counter("penstock.loader.cache.evictions", TIER, tier).increment();
    }

    /// @param scope `piece` or `file`
    void checksumFailure(String scope) {
        registry.counter("penstock.loader.checksum.failures", "scope", scope).increment();
    }
}
