package io.penstock.loader.grpc;

import io.penstock.api.weights.TierProgress;
import io.penstock.api.weights.TransferProgress;
import io.penstock.loader.transfer.FileWish;
import io.penstock.loader.transfer.LoaderMetrics;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// How far the files of a call are, and where their bytes come from. Guarded by its call's lock.
final class TierTally {
    private final Map<String, Entry> files = new HashMap<>();
    private long needed;

    /// @param needed bytes of the file that were asked for
    private record Entry(FileWish.Progress progress, long needed) {}

    /// Takes note of a file that is asked for, in bytes.
    void expect(long bytes) {
        needed += bytes;
    }

    void put(String file, FileWish.Progress progress, long bytes) {
        files.put(file, new Entry(progress, bytes));
    }

    TransferProgress progress() {
        Map<String, Long> done = new LinkedHashMap<>();
        Map<String, Long> expected = new HashMap<>();
        // The nearest first.
        List.of(LoaderMetrics.FAST, LoaderMetrics.DURABLE).forEach(tier -> done.put(tier, 0L));
        long present = 0;
        for (Entry file : files.values()) {
            FileWish.Progress progress = file.progress();
            long arrived = progress.total();
            present += arrived;
            progress.arrived().forEach((tier, bytes) -> done.merge(tier, bytes, Long::sum));
            done.putIfAbsent(progress.rest(), 0L);
            expected.merge(progress.rest(), file.needed() - arrived, Long::sum);
        }
        TransferProgress.Builder told =
                TransferProgress.newBuilder().setBytesPresent(present).setBytesNeeded(needed);
        done.forEach((tier, bytes) -> {
            long all = bytes + expected.getOrDefault(tier, 0L);
            if (all > 0) {
                told.addTiers(TierProgress.newBuilder()
                        .setTier(tier)
                        .setBytesDone(bytes)
                        .setBytesExpected(all));
            }
        });
        return told.build();
    }
}
