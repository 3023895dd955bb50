package io.penstock.loader.transfer;

import static org.assertj.core.api.Assertions.assertThat;

import io.micrometer.core.instrument.Meter;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.time.Duration;
import java.util.Map;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/// Dashboards and alerts know these names; whoever changes one has to change them, too. How Prometheus writes them is
/// looked at in `TestWeightLoaderService`.
class TestLoaderMetrics {
    @Test
    void everyMetricHasItsNameItsTypeAndItsLabel() {
        SimpleMeterRegistry registry = new SimpleMeterRegistry();
        LoaderMetrics metrics = new LoaderMetrics(registry);
        metrics.watch(() -> 16, () -> 3, () -> 4096);
        metrics.watchVolume(LoaderMetrics.FAST, () -> 7);
        metrics.fetched("oci", 10);
        metrics.part("oci", Duration.ofSeconds(2));
        metrics.hit(LoaderMetrics.DURABLE, 11);
        metrics.demoted(12);
        metrics.tierFailure(LoaderMetrics.DURABLE);
        metrics.pushed(13);
        metrics.retry("throttled");
        metrics.evicted(LoaderMetrics.FAST);
        metrics.checksumFailure("piece");

        Map<String, Double> first = registry.getMeters().stream()
                .collect(Collectors.toMap(
                        meter -> name(meter.getId()),
                        meter -> meter.measure().iterator().next().getValue()));
        assertThat(first)
                .containsExactlyInAnyOrderEntriesOf(Map.ofEntries(
                        Map.entry("GAUGE penstock.loader.parallel.limit []", 16.0),
                        Map.entry("GAUGE penstock.loader.parallel.running []", 3.0),
                        Map.entry("GAUGE penstock.loader.buffer.bytes []", 4096.0),
                        Map.entry("GAUGE penstock.loader.cache.free.bytes [tag(tier=fast)]", 7.0),
                        Map.entry("COUNTER penstock.loader.fetched.bytes [tag(source=oci)]", 10.0),
                        Map.entry("TIMER penstock.loader.part.duration [tag(source=oci)]", 1.0),
                        Map.entry("COUNTER penstock.loader.cache.hit.bytes [tag(tier=durable)]", 11.0),
                        Map.entry("COUNTER penstock.loader.demoted.bytes []", 12.0),
                        Map.entry("COUNTER penstock.loader.tier.failures [tag(tier=durable)]", 1.0),
                        Map.entry("COUNTER penstock.loader.pushed.bytes []", 13.0),
                        Map.entry("COUNTER penstock.loader.retries [tag(cause=throttled)]", 1.0),
                        Map.entry("COUNTER penstock.loader.cache.evictions [tag(tier=fast)]", 1.0),
                        Map.entry("COUNTER penstock.loader.checksum.failures [tag(scope=piece)]", 1.0)));
    }

    private static String name(Meter.Id id) {
        return id.getType() + " " + id.getName() + " " + id.getTags();
    }
}
