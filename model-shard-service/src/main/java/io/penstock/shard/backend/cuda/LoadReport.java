package io.penstock.shard.backend.cuda;

import java.util.Locale;
import jdk.jfr.Category;
import jdk.jfr.DataAmount;
import jdk.jfr.Description;
import jdk.jfr.Enabled;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;

/// What loading a rank's weights took: reading, conversion and the way to the device together.
///
/// @param bytes that went to the device: as stored, or as the host decoded them
record LoadReport(long bytes, long nanos) {
    /// To be held against what the disk itself gives.
    double gigabytesASecond() {
        return nanos == 0 ? 0 : bytes / (double) nanos;
    }

    @Override
    public String toString() {
        return String.format(
                Locale.ROOT,
                "%.2f GB read in %.2f s, %.2f GB/s, reading, conversion and the way to the device together",
                bytes / 1e9,
                nanos / 1e9,
                gigabytesASecond());
    }

    /// A load while it goes on, for recordings.
    @Name("io.penstock.shard.WeightLoad")
    @Label("Weight Load")
    @Category({"Penstock", "Shard"})
    @Description("This rank's weights have come to its device; bytes over the duration is the rate")
    @StackTrace(false)
    @Enabled
    static final class Loading extends Event {
        private final long began = System.nanoTime();

        @Label("Bytes")
        @DataAmount
        long bytes;

        static Loading begun() {
            Loading loading = new Loading();
            loading.begin();
            return loading;
        }

        LoadReport done(long all) {
            LoadReport report = new LoadReport(all, System.nanoTime() - began);
            bytes = all;
            commit();
            return report;
        }
    }
}
