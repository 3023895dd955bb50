package io.penstock.cli.cluster;

import io.penstock.cli.CommandFailure;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

/// What the ranks of a local cluster compute on.
///
/// @param backend `auto`, `cpu` or `cuda`, as `penstock.shard.backend`
/// @param devices CUDA devices that the ranks take in turn; several ranks may share one
/// @param more further settings of every rank, by their whole keys
public record RankSettings(String backend, List<Integer> devices, Map<String, String> more) {
    private static final Set<String> BACKENDS = Set.of("auto", "cpu", "cuda");
    private static final double MEMORY_SHARE = 0.9;

    public RankSettings {
        devices = List.copyOf(devices);
        more = Map.copyOf(more);
        if (!BACKENDS.contains(backend)) {
            throw new CommandFailure(
                    "backend %s: must be one of %s",
                    backend, BACKENDS.stream().sorted().toList());
        }
        if (devices.isEmpty() || devices.stream().anyMatch(device -> device < 0)) {
            throw new CommandFailure("devices %s: one or more are needed, counted from 0", devices);
        }
    }

    public static RankSettings automatic() {
        return new RankSettings("auto", List.of(0), Map.of());
    }

    /// @param number of the rank in its group, of so many
    Map<String, String> of(int number, int ranks) {
        Map<String, String> properties = new LinkedHashMap<>();
        properties.put("penstock.shard.backend", backend);
        properties.put("penstock.shard.device", String.valueOf(devices.get(number % devices.size())));
        // Ranks that share a device must leave each other room.
        properties.put(
                "penstock.shard.gpu-memory-share",
                String.format(Locale.ROOT, "%.3f", MEMORY_SHARE / Math.ceilDiv(ranks, devices.size())));
        properties.putAll(more);
        return properties;
    }
}
