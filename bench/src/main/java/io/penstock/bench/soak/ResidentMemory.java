package io.penstock.bench.soak;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/// A process' resident memory over time, from `/proc/PID/status`. What is mapped from files is left
/// out: those pages are the system's to take back.
final class ResidentMemory {
    /// Growth that is no growth: a thread's stack, a compiler's arena that is at work at that moment.
    private static final double SLACK = 16;

    private static final double FACTOR = 1.05;

    private final String name;
    private final Path status;
    private final List<Double> seconds = new ArrayList<>();
    private final List<Double> anonymous = new ArrayList<>();
    private long threads;

    ResidentMemory(String name, long pid) {
        this(name, Path.of("/proc", String.valueOf(pid), "status"));
    }

    ResidentMemory(String name, Path status) {
        this.name = name;
        this.status = status;
    }

    /// @param at seconds since the first look
    void look(double at) throws IOException {
        Map<String, Long> values = new HashMap<>();
        for (String line : Files.readAllLines(status)) {
            if (line.matches("(RssAnon|Threads):\\s+\\d+.*")) {
                values.put(line.split(":", 2)[0], Long.parseLong(line.replaceAll("\\D", "")));
            }
        }
        if (values.size() < 2) {
            throw new IOException("%s tells no RssAnon and Threads".formatted(status));
        }
        seconds.add(at);
        anonymous.add(values.get("RssAnon") / 1024.0);
        threads = values.get("Threads");
    }

    /// Whether the second half of the time needed no more than the first, by their medians.
    boolean flat() {
        return anonymous.size() >= 4 && second() <= first() * FACTOR + SLACK;
    }

    private double first() {
        return median(anonymous.subList(0, anonymous.size() / 2));
    }

    private double second() {
        return median(anonymous.subList(anonymous.size() / 2, anonymous.size()));
    }

    private static double median(List<Double> values) {
        return values.stream().sorted().toList().get(values.size() / 2);
    }

    /// Of the second half, by least squares.
    ///
    /// @return MiB a minute
    double slope() {
        int from = seconds.size() / 2;
        List<Double> at = seconds.subList(from, seconds.size());
        List<Double> size = anonymous.subList(from, anonymous.size());
        double meanAt = at.stream().mapToDouble(Double::doubleValue).average().orElse(0);
        double meanSize =
                size.stream().mapToDouble(Double::doubleValue).average().orElse(0);
        double up = 0;
        double down = 0;
        for (int i = 0; i < at.size(); i++) {
            up += (at.get(i) - meanAt) * (size.get(i) - meanSize);
            down += (at.get(i) - meanAt) * (at.get(i) - meanAt);
        }
        return down == 0 ? 0 : up / down * 60;
    }

    /// As a JSON object; sizes in MiB.
    String line() {
        return String.format(
                Locale.ROOT,
                "{\"process\": \"%s\", \"flat\": %b, \"first_half_mib\": %.1f, \"second_half_mib\": %.1f, "
                        + "\"slope_mib_a_minute\": %.2f, \"last_mib\": %.1f, \"threads\": %d, \"looks\": %d}",
                name,
                flat(),
                first(),
                second(),
                slope(),
                anonymous.getLast(),
                threads,
                anonymous.size());
    }

    String name() {
        return name;
    }

    /// One line a look, seconds and MiB, for a plot.
    List<String> table() {
        List<String> lines = new ArrayList<>();
        for (int i = 0; i < seconds.size(); i++) {
            lines.add(String.format(Locale.ROOT, "%.0f\t%.1f", seconds.get(i), anonymous.get(i)));
        }
        return lines;
    }
}
