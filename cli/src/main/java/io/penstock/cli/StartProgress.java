package io.penstock.cli;

import io.penstock.api.inference.GroupState;
import io.penstock.api.inference.GroupStatus;
import io.penstock.cli.cluster.LoadWatch;
import java.io.Console;
import java.io.PrintWriter;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import me.tongfei.progressbar.ConsoleProgressBarConsumer;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;

/// How far the weights have come: into this node's cache, then into the shards. Bars on a terminal, a
/// line each when done elsewhere.
final class StartProgress implements AutoCloseable {
    private static final long MEGABYTE = 1_000_000;

    private final LoadWatch watch;
    private final ExecutorService thread = Executors.newVirtualThreadPerTaskExecutor();
    private final CompletableFuture<Void> download;
    private final Phase downloading = new Phase("Download");
    private final Phase loading = new Phase("Load");
    private volatile long present;
    private volatile long needed;

    StartProgress(LoadWatch watch, String model) {
        this.watch = watch;
        download = CompletableFuture.runAsync(
                () -> watch.awaitDownload(model, (bytes, total) -> {
                    present = bytes;
                    needed = total;
                }),
                thread);
    }

    /// @throws CommandFailure if the weights cannot be had, or the shards can never serve as they are set up
    void update(PrintWriter out) {
        if (download.isCompletedExceptionally()) {
            try {
                download.join();
            } catch (CompletionException e) {
                throw new CommandFailure(
                        "the model's files could not be fetched: %s",
                        e.getCause().getMessage());
            }
        }
        downloading.show(out, present, needed);
        GroupStatus group = watch.group();
        if (group.getState() == GroupState.GROUP_STATE_REFUSED) {
            throw new CommandFailure("the model cannot be served: %s", group.getRefusal());
        }
        loading.show(out, group.getBytesLoaded(), group.getBytesToLoad());
    }

    // Null on JDK 25 where nothing is interactive, whatever the checker believes of it.
    @SuppressWarnings("SystemConsoleNull")
    private static boolean onTerminal() {
        Console console = System.console();
        return console != null && console.isTerminal();
    }

    @Override
    public void close() {
        downloading.close();
        loading.close();
        thread.shutdownNow();
    }

    private static final class Phase {
        private final String name;
        private ProgressBar bar;
        private boolean done;

        Phase(String name) {
            this.name = name;
        }

        void show(PrintWriter out, long bytes, long total) {
            if (total == 0 || done) {
                return;
            }
            done = bytes >= total;
            if (onTerminal()) {
                if (bar == null) {
                    bar = new ProgressBarBuilder()
                            .setTaskName(name)
                            .setInitialMax(total)
                            .setUnit(" MB", MEGABYTE)
                            .setUpdateIntervalMillis(100)
                            .setConsumer(new ConsoleProgressBarConsumer(System.err))
                            .build();
                }
                bar.maxHint(total).stepTo(bytes);
                if (done) {
                    close();
                }
            } else if (done) {
                out.printf("%-16s %d MB%n", name, total / MEGABYTE);
                out.flush();
            }
        }

        void close() {
            if (bar != null) {
                bar.close();
                bar = null;
            }
        }
    }
}
