package io.penstock.cli.cluster;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TestAotCache {
    private static final List<String> FLAGS = List.of("-Xmx1g");

    @TempDir
    private Path target;

    private Path jar;

    @BeforeEach
    void application() throws IOException {
        jar = Files.createDirectories(target.resolve("quarkus-app")).resolve("quarkus-run.jar");
        Files.writeString(jar, "a jar");
    }

    @Test
    void isOfOneBuildAndItsFlags() throws IOException {
        AotCache cache = AotCache.of(jar, FLAGS);
        assertThat(AotCache.of(jar, FLAGS)).isEqualTo(cache);
        assertThat(AotCache.of(jar, List.of("-Xmx2g"))).isNotEqualTo(cache);

        Files.writeString(jar, "another jar");
        assertThat(AotCache.of(jar, FLAGS)).isNotEqualTo(cache);
    }

    @Test
    void isKeptFromARunThatEndedInOrder() throws IOException {
        AotCache cache = AotCache.of(jar, FLAGS);
        record(cache);
        assertThat(cache.recorded()).isFalse();
        cache.settle(true);
        assertThat(cache.recorded()).isTrue();
        assertThat(cache.use()).containsExactly("-XX:AOTCache=" + cache.file());
        assertThat(files()).hasSize(1);
    }

    @Test
    void isNotKeptFromARunThatWasKilled() throws IOException {
        AotCache cache = AotCache.of(jar, FLAGS);
        record(cache);
        cache.settle(false);
        assertThat(cache.recorded()).isFalse();
        assertThat(files()).isEmpty();
    }

    @Test
    void removesWhatAKilledRecorderLeft() throws IOException {
        AotCache cache = AotCache.of(jar, FLAGS);
        Files.createDirectories(cache.file().getParent());
        // No process has this number: it is above the kernel's greatest.
        Files.writeString(cache.file().resolveSibling("0123456789abcdef.aot.2147483647.part"), "half");
        cache.record();
        assertThat(files()).isEmpty();
    }

    /// Does what the JVM does with the flag that it is given.
    private static void record(AotCache cache) throws IOException {
        String flag = cache.record().getFirst();
        Files.writeString(Path.of(flag.substring("-XX:AOTCacheOutput=".length())), "a cache");
    }

    private List<Path> files() throws IOException {
        try (var tree = Files.list(target.resolve("aot"))) {
            return tree.toList();
        }
    }
}
