package io.penstock.bench.weights;

import java.util.Locale;

/// What one download cost.
///
/// @param peer who did it
/// @param bytes of the object
/// @param seconds until all bytes were there (and verified, where the peer verifies)
/// @param cpuSeconds of its process, user and system
/// @param late bytes a second from the third second on, 0 where that was not watched
/// @param peakBytes the most memory that its process held, 0 where that was not watched
record Run(String peer, long bytes, double seconds, double cpuSeconds, double late, long peakBytes) {
    double rate() {
        return bytes / seconds;
    }

    double cpuPerGigabyte() {
        return cpuSeconds / (bytes / 1e9);
    }

    String line() {
        return String.format(
                Locale.ROOT,
                "%-22s %7.2f s %8.0f MB/s %6.2f CPU s/GB%s%s",
                peer,
                seconds,
                rate() / 1e6,
                cpuPerGigabyte(),
                late == 0 ? "" : String.format(Locale.ROOT, "  %.0f MB/s from the third second", late / 1e6),
                peakBytes == 0 ? "" : String.format(Locale.ROOT, "  peak %d MB", peakBytes / 1_000_000));
    }
}
