package io.penstock.scheduler.telemetry;

import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.penstock.scheduler.group.GroupSnapshot;
import java.util.function.ToDoubleFunction;

/// How loaded a group is at this moment, under the names that vLLM's users know. Set by the group's loop
/// thread, read by whoever scrapes.
final class GroupGauges {
    private final MeterRegistry registry;
    private final String group;
    private volatile GroupSnapshot last;

    GroupGauges(MeterRegistry registry, String group) {
        this.registry = registry;
        this.group = group;
    }

    void set(GroupSnapshot snapshot) {
        GroupSnapshot before = last;
        last = snapshot;
        if (snapshot.identity() != null
                && (before == null || !snapshot.identity().equals(before.identity()))) {
            register(snapshot.identity().model());
        }
    }

    private void register(String model) {
        gauge("vllm:num_requests_running", "Sequences that run", model, GroupSnapshot::running);
        gauge("vllm:num_requests_waiting", "Sequences that wait", model, GroupSnapshot::waiting);
        gauge(
                "vllm:kv_cache_usage_perc",
                "Part of the KV blocks in use, 0 to 1",
                model,
                snapshot -> snapshot.kvBlocks() == 0 ? 0 : (double) snapshot.kvBlocksUsed() / snapshot.kvBlocks());
        gauge("penstock:group_serving", "1 while the group serves", model, snapshot -> snapshot.serving() ? 1 : 0);
        gauge("penstock:group_epoch", "Times the group has formed", model, GroupSnapshot::epoch);
    }

    private void gauge(String name, String description, String model, ToDoubleFunction<GroupSnapshot> value) {
        Gauge.builder(name, this, gauges -> gauges.last.serves(model) ? value.applyAsDouble(gauges.last) : 0)
                .description(description)
                .tag("model_name", model)
                .tag("group", group)
                .register(registry);
    }
}
