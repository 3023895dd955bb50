package io.penstock.loader.transfer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.emulator.Link;
import io.penstock.loader.cache.CacheDirectory;
import io.penstock.loader.source.Snapshot;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// A cache that is another's: another user's, or another loader's that runs.
@Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class TestSharedVolume {
    private static final int SIZE = 12 * Fixture.PIECE;
    private static final int NOBODY = 65_534;
    /// The rights by which root would write everywhere.
    private static final String ROOTS_RIGHTS = "-dac_override,-dac_read_search,-fowner";

    @TempDir
    Path folder;

    @Test
    void aCacheOfAnotherOwnerIsRefusedByNameAndLeftAsItIs() throws Exception {
        try (Fixture fixture = new Fixture(folder, SIZE)) {
            Snapshot snapshot = fixture.resolve();
            fixture.ask(snapshot).end.get();
            fixture.awaitPublished(snapshot);
            fixture.stop();
            Path cache = folder.resolve("cache");
            boolean root = (int) Files.getAttribute(folder, "unix:uid") == 0;
            if (root) {
                for (Path path : List.of(cache, cache.resolve("lock"))) {
                    Files.setAttribute(path, "unix:uid", NOBODY);
                }
            } else {
                Files.setPosixFilePermissions(cache.resolve("lock"), PosixFilePermissions.fromString("r--r--r--"));
            }
            Process loader =
                    KilledLoader.start(fixture, root ? List.of("setpriv", "--bounding-set", ROOTS_RIGHTS) : List.of());
            assertThat(loader.waitFor(30, TimeUnit.SECONDS)).isTrue();
            assertThat(loader.exitValue()).isEqualTo(1);
            assertThat(Files.readString(folder.resolve("loader.log")))
                    .contains("the cache cannot be written: " + cache);
            assertThat(Files.readAllBytes(fixture.published(snapshot))).isEqualTo(fixture.content);
            Files.setPosixFilePermissions(cache.resolve("lock"), PosixFilePermissions.fromString("rw-r--r--"));
            fixture.start();
        }
    }

    @Test
    void aSecondLoaderIsToldOfTheFirstAndFollowsItWhenItIsGone() throws Exception {
        try (Fixture fixture = new Fixture(folder, SIZE)) {
            Path cache = folder.resolve("cache");
            fixture.stop();
            fixture.emulator.link(Link.of(Duration.ZERO, 20_000));
            Process first = KilledLoader.start(fixture, List.of());
            try {
                while (fixture.emulator.traffic().bytes() == 0) {
                    assertThat(first.waitFor(5, TimeUnit.MILLISECONDS)).isFalse();
                }
                assertThatThrownBy(() -> new CacheDirectory(cache, Fixture.PIECE))
                        .hasMessageContaining("in use by another weight-loader")
                        .hasMessageContaining(cache.toString());
                assertThat(first.isAlive()).isTrue();
            } finally {
                first.destroyForcibly().waitFor();
            }
            fixture.emulator.link(Link.DIRECT);
            fixture.start();
            Snapshot snapshot = fixture.resolve();
            fixture.ask(snapshot).end.get();
            assertThat(fixture.awaitPublished(snapshot)).isEqualTo(fixture.content);
        }
    }
}
