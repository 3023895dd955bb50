package io.penstock.bench.weights;

import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// The memory of a loader's process while bytes come: what the kernel counts, and what the loader says of its buffers.
final class MemoryWatch {
    private static final Pattern BUFFERS = Pattern.compile("penstock_loader_buffer_bytes(?:\\{[^}]*})? ([0-9.E+]+)");
    private static final long MEGABYTE = 1_000_000;

    private final long process;
    private final URI metrics;
    private final List<Sample> samples = new ArrayList<>();

    /// @param fetched bytes until then
    /// @param resident of the process, without pages of files
    /// @param buffers native memory of the connections
    record Sample(long fetched, long resident, long buffers) {}

    /// @param process its number
    /// @param metrics where it serves them
    MemoryWatch(long process, URI metrics) {
        this.process = process;
        this.metrics = metrics;
    }

    void look(long fetched) throws IOException {
        samples.add(new Sample(fetched, resident(), buffers()));
    }

    private long resident() throws IOException {
        long bytes = 0;
        for (String line : Files.readAllLines(Path.of("/proc", String.valueOf(process), "status"))) {
            // Of the sum only what no other process and no file has.
            if (line.startsWith("RssAnon:")) {
                bytes = Long.parseLong(line.replaceAll("\\D", "")) << 10;
            }
        }
        return bytes;
    }

    private long buffers() throws IOException {
        try (InputStream answer = metrics.toURL().openStream()) {
            Matcher found = BUFFERS.matcher(new String(answer.readAllBytes(), StandardCharsets.UTF_8));
            if (!found.find()) {
                throw new IOException(metrics + " has no " + BUFFERS);
            }
            return (long) Double.parseDouble(found.group(1));
        }
    }

    long peakBuffers() {
        return samples.stream().mapToLong(Sample::buffers).max().orElse(0);
    }

    /// Most of the process's own memory while the bytes from `from` to `to` came, both as parts of all.
    private long peak(double from, double to) {
        long all = samples.isEmpty() ? 0 : samples.getLast().fetched();
        return samples.stream()
                .filter(sample -> sample.fetched() >= from * all && sample.fetched() <= to * all)
                .mapToLong(Sample::resident)
                .max()
                .orElse(0);
    }

    /// @return how much larger it was in the last quarter than in the second; 1 is flat
    double growth() {
        return (double) peak(0.75, 1) / peak(0.25, 0.5);
    }

    String lines() {
        StringBuilder text = new StringBuilder();
        for (int tenth = 0; tenth < 10; tenth++) {
            text.append(String.format(
                    Locale.ROOT,
                    "%3d to %3d %% of the bytes: at most %d MB resident%n",
                    10 * tenth,
                    10 * tenth + 10,
                    peak(tenth / 10.0, (tenth + 1) / 10.0) / MEGABYTE));
        }
        return text.append(String.format(
                        Locale.ROOT,
                        "peak: %d MB resident, %d MB of it buffers of connections; last quarter %.2fx of the second",
                        peak(0, 1) / MEGABYTE,
                        peakBuffers() / MEGABYTE,
                        growth()))
                .toString();
    }
}
