package io.penstock.shard.backend.cuda;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import jcuda.driver.CUevent;

/// How long each kernel of a step takes on the device, by an event before each: for steps that are launched kernel by
/// kernel, as they come, at the clocks that a device under load has (a profiler's are those of one that rests between
/// kernels). A kernel's time reaches to the beginning of the next; where the host is slower than the device, it holds
/// what
/// the device waited.
final class KernelTimes implements AutoCloseable {
    private final CudaDevice device;
    private final List<CUevent> events = new ArrayList<>();
    private final List<Object> launched = new ArrayList<>();

    KernelTimes(CudaDevice device) {
        this.device = device;
    }

    /// What was launched under one name.
    ///
    /// @param millis in all
    record Share(String name, int count, double millis) {}

    /// Times what follows on the device's stream.
    void begin() {
        launched.clear();
        device.watch(what -> {
            mark(launched.size());
            launched.add(what);
        });
    }

    /// Waits for all that was launched.
    ///
    /// @return what took longest first
    List<Share> end() {
        device.watch(null);
        mark(launched.size());
        device.synchronize();
        Map<String, Share> shares = new HashMap<>();
        for (int i = 0; i < launched.size(); i++) {
            double millis = device.millisBetween(events.get(i), events.get(i + 1));
            shares.merge(
                    name(launched.get(i)),
                    new Share(name(launched.get(i)), 1, millis),
                    (one, other) -> new Share(one.name, one.count + other.count, one.millis + other.millis));
        }
        return shares.values().stream()
                .sorted(Comparator.comparingDouble(Share::millis).reversed())
                .toList();
    }

    private void mark(int index) {
        while (events.size() <= index) {
            events.add(device.event());
        }
        device.record(events.get(index));
    }

    private static String name(Object what) {
        return what instanceof Kernel kernel ? kernel.name() : what.toString();
    }

    @Override
    public void close() {
        device.watch(null);
        events.forEach(device::destroy);
    }
}
