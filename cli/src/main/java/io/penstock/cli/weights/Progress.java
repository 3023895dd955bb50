package io.penstock.cli.weights;

import io.penstock.api.weights.TierProgress;
import java.io.Console;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;
import me.tongfei.progressbar.InteractiveConsoleProgressBarConsumer;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarConsumer;

/// Bars with rate and time to go, one below the other, on a terminal; nothing elsewhere.
final class Progress implements AutoCloseable {
    private static final long MEGABYTE = 1_000_000;
    private static final int UPDATE_MILLIS = 100;

    private final String name;
    private final Optional<Supplier<ProgressBarConsumer>> terminal;
    private final Map<String, ProgressBar> bars = new LinkedHashMap<>();

    /// @param name of what is done, the beginning of each bar's
    Progress(String name) {
        this(
                name,
                onTerminal()
                        ? Optional.of(() -> new InteractiveConsoleProgressBarConsumer(System.err))
                        : Optional.empty());
    }

    /// @param terminal makes a line of it for each bar; empty where there is none
    Progress(String name, Optional<Supplier<ProgressBarConsumer>> terminal) {
        this.name = name;
        this.terminal = terminal;
    }

    /// One bar, in bytes.
    void show(long bytes, long total) {
        show(name, bytes, total);
    }

    /// A bar for each tier.
    void show(List<TierProgress> tiers) {
        for (TierProgress tier : tiers) {
            show(name + " " + tier.getTier(), tier.getBytesDone(), tier.getBytesExpected());
        }
    }

    private void show(String bar, long bytes, long total) {
        terminal.ifPresent(lines -> bars.computeIfAbsent(bar, title -> bar(title, total, lines.get()))
                .maxHint(total)
                .stepTo(bytes));
    }

    private static ProgressBar bar(String title, long total, ProgressBarConsumer line) {
        return new ProgressBarBuilder()
                .setTaskName(title)
                .setInitialMax(total)
                .setUnit(" MB", MEGABYTE)
                .showSpeed()
                .setUpdateIntervalMillis(UPDATE_MILLIS)
                .setConsumer(line)
                .build();
    }

    // Null on JDK 25 where nothing is interactive, whatever the checker believes of it.
    @SuppressWarnings("SystemConsoleNull")
    private static boolean onTerminal() {
        Console console = System.console();
        return console != null && console.isTerminal();
    }

    @Override
    public void close() {
        end();
    }

    /// Takes the bars away, so that what is said next has a line of its own.
    void end() {
        bars.values().forEach(ProgressBar::close);
        bars.clear();
    }
}
