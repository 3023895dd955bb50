package io.penstock.loader.transfer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.penstock.loader.cache.CacheDirectory;
import io.penstock.loader.cache.SnapshotStore;
import io.penstock.loader.source.RemoteFile;
import io.penstock.loader.source.Snapshot;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// A node's cache fills up, decays and is shared: what is needed must stay, and what is wrong must not be
/// given out.
@Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class TestCacheCare {
    private static final int SIZE = 12 * Fixture.PIECE;

    @TempDir
    Path folder;

    @Test
    void whatWasUsedLongestAgoMakesRoomButNotWhatIsPinned() throws Exception {
        try (Fixture fixture = new Fixture(folder, SIZE, 2L * SIZE + SIZE / 2)) {
            SnapshotStore store = new SnapshotStore(fixture.parts().cache());
            Snapshot pinned = loaded(fixture, store);
            store.pin(pinned, true);
            Snapshot oldest = loaded(fixture, store);
            assertThat(fixture.published(pinned)).exists();
            assertThat(fixture.published(oldest)).exists();

            Snapshot newest = loaded(fixture, store);
            assertThat(fixture.published(oldest)).doesNotExist();
            assertThat(store.load("m", oldest.revision())).isEmpty();
            assertThat(fixture.published(pinned)).exists();
            assertThat(fixture.awaitPublished(newest)).hasSize(SIZE);
            assertThat(bytesOnDisk()).isBetween(2L * SIZE, 2L * SIZE + Fixture.PIECE);
            assertThat(fixture.count("penstock.loader.cache.evictions")).isEqualTo(1);

            // Gone is not forbidden: it is fetched again, and the other one goes.
            store.pin(pinned, false);
            Fixture.Heard again = fixture.ask(newest);
            assertThat(again.end.get()).isZero();
            again.wish.close();
        }
    }

    @Test
    void whatIsInUseStaysAndTheOneThatFindsNoPlaceIsTold() throws Exception {
        try (Fixture fixture = new Fixture(folder, SIZE, SIZE + SIZE / 2)) {
            Snapshot used = fixture.resolve();
            new SnapshotStore(fixture.parts().cache()).save(used);
            Fixture.Heard open = fixture.ask(used);
            open.end.get();
            fixture.awaitPublished(used);

            replaceModel(fixture);
            Snapshot other = fixture.resolve();
            assertThatThrownBy(() -> fixture.ask(other))
                    .isInstanceOfSatisfying(
                            PenstockException.class,
                            failure -> assertThat(failure.category()).isEqualTo(ErrorCategory.OVERLOADED))
                    .hasMessageContaining("budget");
            assertThatThrownBy(() -> fixture.parts().transfers().evict(used)).hasMessageContaining("in use");
            assertThat(Files.readAllBytes(fixture.published(used))).isEqualTo(fixture.content);
        }
    }

    @Test
    void verifyFindsEveryDamageAndWhatIsRepairedIsRight() throws Exception {
        try (Fixture fixture = new Fixture(folder, SIZE)) {
            SnapshotStore store = new SnapshotStore(fixture.parts().cache());
            Snapshot snapshot = loaded(fixture, store);
            Path file = fixture.published(snapshot);
            Fixture.invert(file, 5L * Fixture.PIECE + 17);
            Fixture.invert(file, SIZE - 1L);
            RemoteFile remote = snapshot.file(Fixture.NAME);
            List<ByteRange> wrong = fixture.parts()
                    .transfers()
                    .verify(snapshot, remote, fixture.parts().source(), _ -> {});
            assertThat(wrong)
                    .containsExactly(
                            new ByteRange(5L * Fixture.PIECE, Fixture.PIECE),
                            new ByteRange(11L * Fixture.PIECE, Fixture.PIECE));
            assertThat(file).doesNotExist();

            fixture.emulator.traffic().clear();
            Fixture.Heard repaired = fixture.ask(snapshot);
            assertThat(repaired.end.get()).isEqualTo(2L * Fixture.PIECE);
            assertThat(fixture.awaitPublished(snapshot)).isEqualTo(fixture.content);
            assertThat(fixture.emulator.traffic().bytes()).isEqualTo(2L * Fixture.PIECE);
            repaired.wish.close();
            assertThat(fixture.parts()
                            .transfers()
                            .verify(snapshot, remote, fixture.parts().source(), _ -> {}))
                    .isEmpty();
        }
    }

    @Test
    void aCacheThatIsOnlyReadGivesWhatIsCompleteAndWritesNothing() throws Exception {
        try (Fixture fixture = new Fixture(folder, SIZE)) {
            Snapshot whole = loaded(fixture, new SnapshotStore(fixture.parts().cache()));
            replaceModel(fixture);
            Snapshot part = fixture.resolve();
            new SnapshotStore(fixture.parts().cache()).save(part);
            Fixture.Heard some = fixture.ask(part, new ByteRange(0, 1));
            some.end.get();
            some.wish.close();
            assertThatThrownBy(() ->
                            new CacheDirectory(folder.resolve("cache"), Fixture.PIECE, false, Duration.ofMillis(10)))
                    .hasMessageContaining("in use");

            // While the first loader goes on, and though the folder could be written.
            String before = listing();
            CacheDirectory shared = new CacheDirectory(folder.resolve("cache"), Fixture.PIECE, true, Duration.ZERO);
            try (Fixture.Parts reader = Fixture.Parts.of(
                    shared, fixture.emulator.endpoint(), fixture.config, new SimpleMeterRegistry(), 0, Fixture.STALL)) {
                FileWish wish = reader.transfers().wish(whole, whole.file(Fixture.NAME), reader.source(), List.of());
                Fixture.Heard heard = new Fixture.Heard(wish);
                wish.ask(heard);
                assertThat(heard.end.get()).isZero();
                assertThat(Files.readAllBytes(wish.path(true))).isEqualTo(fixture.content);
                wish.close();

                FileWish lacking = reader.transfers().wish(part, part.file(Fixture.NAME), reader.source(), List.of());
                assertThatThrownBy(() -> lacking.ask(new Fixture.Heard(lacking)))
                        .hasMessageContaining("read only");
                lacking.close();
                assertThatThrownBy(() -> reader.transfers().evict(whole)).hasMessageContaining("read only");
            }
            assertThat(listing()).isEqualTo(before);
        }
    }

    /// Fetches the model as it is now, under a new revision.
    private static Snapshot loaded(Fixture fixture, SnapshotStore store) throws Exception {
        if (!fixture.emulator.traffic().reads().isEmpty()) {
            replaceModel(fixture);
        }
        Snapshot snapshot = fixture.resolve();
        store.save(snapshot);
        Fixture.Heard heard = fixture.ask(snapshot);
        heard.end.get();
        heard.wish.close();
        fixture.awaitPublished(snapshot);
        fixture.awaitIdle(snapshot);
        return snapshot;
    }

    private static void replaceModel(Fixture fixture) throws IOException {
        byte[] content = new byte[SIZE];
        new Random(fixture.emulator.traffic().bytes()).nextBytes(content);
        fixture.emulator.putFile(
                "models", "m/" + Fixture.NAME, Files.write(fixture.folder.resolve("another"), content));
    }

    private long bytesOnDisk() throws IOException {
        try (var paths = Files.walk(folder.resolve("cache/blobs"))) {
            long bytes = 0;
            for (Path path : paths.filter(Files::isRegularFile).toList()) {
                bytes += Files.size(path);
            }
            return bytes;
        }
    }

    private String listing() throws IOException {
        StringBuilder listing = new StringBuilder();
        try (var paths = Files.walk(folder.resolve("cache"))) {
            for (Path path : paths.sorted().toList()) {
                listing.append(path)
                        .append(' ')
                        .append(Files.getLastModifiedTime(path))
                        .append('\n');
            }
        }
        return listing.toString();
    }
}
