package io.penstock.loader.transfer;

import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Timer;
import java.time.Duration;
import java.util.function.IntSupplier;
import java.util.function.LongSupplier;

/// What the transfers count.
public final class LoaderMetrics {
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

    /// @param source its kind: `oci`, `hf`
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
    void hit(long bytes) {
        registry.counter("penstock.loader.cache.hit.bytes").increment((double) bytes);
    }

    /// Bytes that were sent into a bucket.
    public void pushed(long bytes) {
        registry.counter("penstock.loader.pushed.bytes").increment((double) bytes);
    }

    public void retry(String cause) {
        registry.counter("penstock.loader.retries", "cause", cause).increment();
    }

    void evicted() {
        registry.counter("penstock.loader.cache.evictions").increment();
    }

    /// @param scope `piece` or `file`
    void checksumFailure(String scope) {
        registry.counter("penstock.loader.checksum.failures", "scope", scope).increment();
    }
}
