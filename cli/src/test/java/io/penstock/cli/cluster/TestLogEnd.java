package io.penstock.cli.cluster;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TestLogEnd {
    @TempDir
    private Path folder;

    /// A fatal line, and after it the trace of what went wrong on the way out.
    @Test
    void reasonAboveLongTrace() throws IOException {
        Path log = folder.resolve("shard.log");
        try (PrintWriter out = new PrintWriter(Files.newBufferedWriter(log))) {
            out.println("2026-01-01 00:00:00,000 FATAL [shard] fatal: category=CORRUPT reason=no such tensor");
            deep(200).printStackTrace(out);
            out.println();
            out.println("2026-01-01 00:00:01,000 INFO  [quarkus] stopped in 0.2s");
        }
        assertThat(LogEnd.of(log).lines())
                .containsExactly(
                        "2026-01-01 00:00:00,000 FATAL [shard] fatal: category=CORRUPT reason=no such tensor",
                        "java.lang.IllegalStateException: the peer is gone",
                        "Caused by: java.io.IOException: connection reset",
                        "2026-01-01 00:00:01,000 INFO  [quarkus] stopped in 0.2s");
    }

    @Test
    void endOfLongLog() throws IOException {
        Path log = folder.resolve("shard.log");
        try (PrintWriter out = new PrintWriter(Files.newBufferedWriter(log))) {
            for (int line = 0; line < 1_000; line++) {
                out.println("at line " + line);
            }
        }
        assertThat(LogEnd.of(log).lines()).hasSize(15).startsWith("at line 985").endsWith("at line 999");
    }

    private static Exception deep(int frames) {
        return frames == 0
                ? new IllegalStateException("the peer is gone", new IOException("connection reset"))
                : deep(frames - 1);
    }
}
