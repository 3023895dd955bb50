package io.penstock.loader.transfer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.penstock.emulator.Link;
import io.penstock.loader.cache.CacheDirectory;
import io.penstock.loader.cache.SnapshotStore;
import io.penstock.loader.source.Snapshot;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// A volume that others fill while a model arrives, and one that is read only: a real one, in memory.
@Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class TestFullVolume {
    private static final int SIZE = 12 * Fixture.PIECE;

    @TempDir
    Path folder;

    private Path volume;

    @BeforeEach
    void mount() throws Exception {
        volume = Files.createDirectories(folder.resolve("cache"));
        String refusal = command("mount", "-t", "tmpfs", "-o", "size=" + 3 * SIZE, "tmpfs", volume.toString());
        assumeTrue(refusal.isEmpty(), "only who may mount can have a volume fill up: " + refusal);
    }

    @AfterEach
    void unmount() throws Exception {
        if (!Files.getFileStore(volume).equals(Files.getFileStore(folder))) {
            assertThat(command("umount", volume.toString())).isEmpty();
        }
    }

    @Test
    void whatWasUsedLongestAgoGoesWhenTheVolumeFillsUpInMidTransfer() throws Exception {
        try (Fixture fixture = new Fixture(folder, SIZE)) {
            Snapshot old = loaded(fixture);
            byte[] content = replaceModel(fixture);
            Snapshot fresh = fixture.resolve();
            Fixture.Heard heard = begun(fixture, fresh);
            fill();
            assertThat(fixture.published(old)).exists();
            assertThat(heard.end.get()).isEqualTo(SIZE);
            assertThat(fixture.awaitPublished(fresh)).isEqualTo(content);
            assertThat(fixture.published(old)).doesNotExist();
            assertThat(fixture.count("penstock.loader.cache.evictions")).isEqualTo(1);
            heard.wish.close();
        }
    }

    @Test
    void whatIsInUseStaysAndTheTransferSaysWhy() throws Exception {
        try (Fixture fixture = new Fixture(folder, SIZE)) {
            Snapshot used = fixture.resolve();
            new SnapshotStore(fixture.parts().cache()).save(used);
            Fixture.Heard open = fixture.ask(used);
            open.end.get();
            fixture.awaitPublished(used);
            byte[] content = replaceModel(fixture);
            Snapshot other = fixture.resolve();
            Fixture.Heard heard = begun(fixture, other);
            Path filler = fill();
            assertThatThrownBy(heard.end::get)
                    .cause()
                    .isInstanceOfSatisfying(
                            PenstockException.class,
                            failure -> assertThat(failure.category()).isEqualTo(ErrorCategory.OVERLOADED))
                    .hasMessageContaining("no space left")
                    .hasMessageContaining(volume.toString());
            heard.wish.close();
            assertThat(fixture.published(other)).doesNotExist();
            assertThat(Files.readAllBytes(fixture.published(used))).isEqualTo(fixture.content);

            // With room again it goes on from where it was.
            Files.delete(filler);
            fixture.emulator.link(Link.DIRECT);
            Fixture.Heard again = fixture.ask(other);
            assertThat(again.end.get()).isLessThan(SIZE);
            assertThat(fixture.awaitPublished(other)).isEqualTo(content);
            again.wish.close();
            open.wish.close();
        }
    }

    @Test
    void aVolumeThatIsReadOnlyIsRefusedByNameUnlessItIsToBeOnlyRead() throws Exception {
        try (Fixture fixture = new Fixture(folder, SIZE)) {
            Snapshot snapshot = loaded(fixture);
            fixture.stop();
            assertThat(command("mount", "-o", "remount,ro", volume.toString())).isEmpty();
            assertThatThrownBy(() -> new CacheDirectory(volume, Fixture.PIECE))
                    .isInstanceOf(PenstockException.class)
                    .hasMessageContaining("cannot be written")
                    .hasMessageContaining(volume.toString());
            try (Fixture.Parts reader = Fixture.Parts.of(
                    new CacheDirectory(volume, Fixture.PIECE, true, Duration.ZERO),
                    fixture.emulator.endpoint(),
                    fixture.config,
                    fixture.registry,
                    0,
                    Fixture.STALL)) {
                FileWish wish =
                        reader.transfers().wish(snapshot, snapshot.file(Fixture.NAME), reader.source(), List.of());
                Fixture.Heard heard = new Fixture.Heard(wish);
                wish.ask(heard);
                assertThat(heard.end.get()).isZero();
                assertThat(Files.readAllBytes(wish.path(true))).isEqualTo(fixture.content);
                wish.close();
            }
            assertThat(command("mount", "-o", "remount,rw", volume.toString())).isEmpty();
            fixture.start();
        }
    }

    private static Snapshot loaded(Fixture fixture) throws Exception {
        Snapshot snapshot = fixture.resolve();
        new SnapshotStore(fixture.parts().cache()).save(snapshot);
        Fixture.Heard heard = fixture.ask(snapshot);
        heard.end.get();
        heard.wish.close();
        fixture.awaitPublished(snapshot);
        fixture.awaitIdle(snapshot);
        return snapshot;
    }

    /// Asks over a slow link, and returns when a part has come.
    private static Fixture.Heard begun(Fixture fixture, Snapshot snapshot) {
        new SnapshotStore(fixture.parts().cache()).save(snapshot);
        fixture.emulator.link(Link.of(Duration.ZERO, 150_000));
        Fixture.Heard heard = fixture.ask(snapshot);
        CompletableFuture.anyOf(heard.begun, heard.end).join();
        assertThat(heard.end).isNotDone();
        return heard;
    }

    private static byte[] replaceModel(Fixture fixture) throws IOException {
        byte[] content = new byte[SIZE];
        new Random(7).nextBytes(content);
        fixture.emulator.putFile(
                "models", "m/" + Fixture.NAME, Files.write(fixture.folder.resolve("another"), content));
        return content;
    }

    /// Somebody else takes what the volume has left.
    private Path fill() {
        Path filler = volume.resolve("filler");
        try (OutputStream out = Files.newOutputStream(filler)) {
            byte[] page = new byte[4096];
            for (long written = 0; written < 4L * SIZE; written += page.length) {
                out.write(page);
            }
        } catch (IOException e) {
            assertThat(e).hasMessageContaining("No space left");
            return filler;
        }
        throw new AssertionError("the volume holds more than it should");
    }

    /// @return what it says, nothing where it has succeeded
    private static String command(String... words) throws IOException, InterruptedException {
        Process process = new ProcessBuilder(words).redirectErrorStream(true).start();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        if (!process.waitFor(20, TimeUnit.SECONDS)) {
            process.destroyForcibly();
            return String.join(" ", words) + " does not end";
        }
        return process.exitValue() == 0 ? "" : said.strip() + " (exit " + process.exitValue() + ")";
    }
}
