package io.penstock.cli.weights;

import java.io.Console;
import me.tongfei.progressbar.ConsoleProgressBarConsumer;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;

/// A bar with rate and time to go on a terminal; nothing elsewhere.
final class Progress implements AutoCloseable {
    private static final long MEGABYTE = 1_000_000;
    private static final int UPDATE_MILLIS = 100;

    private final String name;
    private ProgressBar bar;

    Progress(String name) {
        this.name = name;
    }

    void show(long bytes, long total) {
        if (!onTerminal()) {
            return;
        }
        if (bar == null) {
            bar = new ProgressBarBuilder()
                    .setTaskName(name)
                    .setInitialMax(total)
                    .setUnit(" MB", MEGABYTE)
                    .showSpeed()
                    .setUpdateIntervalMillis(UPDATE_MILLIS)
                    .setConsumer(new ConsoleProgressBarConsumer(System.err))
                    .build();
        }
        bar.maxHint(total).stepTo(bytes);
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

    /// Takes the bar away, so that what is said next has a line of its own.
    void end() {
        if (bar != null) {
            bar.close();
            bar = null;
        }
    }
}
