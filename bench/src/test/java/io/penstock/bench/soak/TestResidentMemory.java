package io.penstock.bench.soak;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.function.IntToLongFunction;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// A soak that calls growing memory flat is worth nothing.
class TestResidentMemory {
    @TempDir
    private Path folder;

    private ResidentMemory of(IntToLongFunction mebibytes) throws IOException {
        Path status = folder.resolve("status");
        ResidentMemory memory = new ResidentMemory("x", status);
        for (int i = 0; i < 60; i++) {
            Files.writeString(
                    status,
                    "VmRSS:\t9999999 kB\nRssAnon:\t%8d kB\nRssFile:\t1 kB\nThreads:\t17\n"
                            .formatted(mebibytes.applyAsLong(i) * 1024));
            memory.look(i * 5.0);
        }
        return memory;
    }

    @Test
    void growth() throws IOException {
        assertThat(of(i -> 200).flat()).isTrue();
        assertThat(of(i -> 200).slope()).isZero();
        assertThat(of(i -> 200 + i).flat()).as("12 MiB a minute").isFalse();
        assertThat(of(i -> 200 + i).slope()).isCloseTo(12, within(1e-6));
        assertThat(of(i -> i < 10 ? 100 : 300).flat())
                .as("has come to its size early")
                .isTrue();
        assertThat(of(i -> i % 10 == 0 ? 900 : 200).flat()).as("peaks").isTrue();
        assertThat(of(i -> 200).line()).contains("\"threads\": 17", "\"last_mib\": 200.0", "\"looks\": 60");
    }

    @Test
    void noFigures() throws IOException {
        assertThat(new ResidentMemory("x", folder).flat()).isFalse();
        Files.writeString(folder.resolve("status"), "VmRSS:\t1 kB\n");
        assertThatThrownBy(() -> new ResidentMemory("x", folder.resolve("status")).look(0))
                .isInstanceOf(IOException.class);
    }
}
