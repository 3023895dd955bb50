package io.penstock.shard.step;

import io.penstock.model.checkpoint.Extent;
import io.penstock.model.checkpoint.FileExtents;
import io.penstock.model.tensor.RankSlice;
import io.penstock.shard.backend.Backend;
import io.penstock.shard.weights.Weights;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/// Gets the weights of a slice onto the device, and says how far it is: the first half is the way to this
/// node, the second the way to the device.
final class LayerLoading {
    private static final long REPORT_NANOS = TimeUnit.MILLISECONDS.toNanos(500);

    private final Weights weights;
    private final Backend backend;
    private final Weights.Progress progress;
    private long lastReport = System.nanoTime() - REPORT_NANOS;

    LayerLoading(Weights weights, Backend backend, Weights.Progress progress) {
        this.weights = weights;
        this.backend = backend;
        this.progress = progress;
    }

    /// @return bytes of the checkpoint that the slice takes
    long load(RankSlice slice) {
        long total = FileExtents.of(weights.checkpoint(), slice, 0).stream()
                .flatMap(file -> file.extents().stream())
                .mapToLong(Extent::length)
                .sum();
        Map<String, Path> files =
                weights.ensure(slice, (present, wanted) -> report(half(present, wanted, total), total));
        backend.load(
                weights.checkpoint(), slice, files, loaded -> report((total + Math.min(loaded, total)) / 2, total));
        progress.present(total, total);
        return total;
    }

    // In floating point: the product of two sizes overflows.
    private static long half(long present, long wanted, long total) {
        return (long) (total * 0.5 * present / Math.max(wanted, 1));
    }

    private void report(long bytes, long total) {
        long now = System.nanoTime();
        if (now - lastReport >= REPORT_NANOS) {
            lastReport = now;
            progress.present(bytes, total);
        }
    }
}
