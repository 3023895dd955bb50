package io.penstock.loader.catalog;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.loader.cache.CacheDirectory;
import io.penstock.loader.cache.SnapshotStore;
import io.penstock.loader.source.FileName;
import io.penstock.loader.source.RemoteFile;
import io.penstock.loader.source.Snapshot;
import io.penstock.loader.source.Source;
import io.penstock.loader.verify.Checksum;
import io.penstock.loader.verify.PieceChecksums;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// A node whose source is away must still start with what it has, and must never take one revision for
/// another.
@Timeout(value = 30, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class TestCatalog {
    @TempDir
    Path folder;

    private CacheDirectory cache;

    @BeforeEach
    void open() {
        cache = new CacheDirectory(folder, PieceChecksums.MIN_PIECE);
    }

    @AfterEach
    void close() {
        cache.close();
    }

    /// A source whose newest revision is set, or that is away.
    private static final class Switchable implements Source {
        private final AtomicInteger calls = new AtomicInteger();
        private volatile Optional<String> newest = Optional.empty();
        private volatile CountDownLatch held = new CountDownLatch(0);

        @Override
        public Snapshot resolve(String model, String revision) {
            calls.incrementAndGet();
            try {
                held.await();
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            }
            String now = newest.orElseThrow(() -> new PenstockException(ErrorCategory.UNAVAILABLE, "away"));
            if (!revision.isEmpty() && !revision.equals(now)) {
                throw new PenstockException(ErrorCategory.NOT_FOUND, "gone");
            }
            return snapshot(model, now);
        }

        @Override
        public Access access(Snapshot snapshot, RemoteFile file) {
            throw new UnsupportedOperationException();
        }

        @Override
        public String kind() {
            return "test";
        }
    }

    private static Snapshot snapshot(String model, String revision) {
        return new Snapshot(
                model,
                revision,
                List.of(
                        new RemoteFile(
                                new FileName("b"),
                                70_000,
                                "b@" + revision,
                                Optional.of("etag"),
                                Optional.of(new Checksum.Crc32cSum(-5)),
                                Optional.empty()),
                        new RemoteFile(
                                new FileName("sub/a"),
                                1,
                                "a@" + revision,
                                Optional.empty(),
                                Optional.of(new Checksum.Sha256("ab".repeat(32))),
                                Optional.empty())));
    }

    @Test
    void whatWasOnceResolvedOutlivesItsSourceAndARestart() {
        Switchable source = new Switchable();
        Catalog catalog = catalog(source);
        source.newest = Optional.of("r1");
        Snapshot first = catalog.describe("org/m", "");
        source.newest = Optional.of("r2");
        Snapshot second = catalog.describe("org/m", "");
        source.newest = Optional.empty();

        Catalog restarted = catalog(source);
        assertThat(restarted.describe("org/m", "r1")).isEqualTo(first);
        assertThat(restarted.describe("org/m", "r2")).isEqualTo(second);
        assertThat(restarted.describe("org/m", "")).isEqualTo(second);
        assertThat(restarted.known()).containsExactlyInAnyOrder(first, second);
        assertThatThrownBy(() -> restarted.describe("org/m", "r3")).hasMessageContaining("away");
    }

    @Test
    void anEmptyRevisionIsTheNewestAtTheSource() {
        Switchable source = new Switchable();
        Catalog catalog = catalog(source);
        source.newest = Optional.of("r1");
        catalog.describe("org/m", "");
        source.newest = Optional.of("r2");
        assertThat(catalog.describe("org/m", "").revision()).isEqualTo("r2");
        assertThatThrownBy(() -> catalog.describe("org/m", "r9")).hasMessageContaining("gone");
    }

    @Test
    void withNothingCachedAnAbsentSourceIsAnError() {
        assertThatThrownBy(() -> catalog(new Switchable()).describe("org/m", ""))
                .hasMessageContaining("away");
        assertThatThrownBy(() -> catalog(new Switchable()).describe("other", ""))
                .hasMessageContaining("not configured; these are: [org/m]");
    }

    @Test
    void askersAtOnceShareOneAnswer() throws Exception {
        Switchable source = new Switchable();
        source.newest = Optional.of("r1");
        source.held = new CountDownLatch(1);
        Catalog catalog = catalog(source);
        CountDownLatch started = new CountDownLatch(8);
        try (ExecutorService executor = Executors.newFixedThreadPool(8)) {
            List<Thread> threads = new ArrayList<>();
            List<Future<Snapshot>> answers = new ArrayList<>();
            for (int i = 0; i < 8; i++) {
                answers.add(executor.submit(() -> {
                    synchronized (threads) {
                        threads.add(Thread.currentThread());
                    }
                    started.countDown();
                    return catalog.describe("org/m", "");
                }));
            }
            started.await();
            // All wait: one for the source, the others for that one.
            while (threads.stream().anyMatch(thread -> thread.getState() != Thread.State.WAITING)) {
                Thread.onSpinWait();
            }
            source.held.countDown();
            for (Future<Snapshot> answer : answers) {
                assertThat(answer.get().revision()).isEqualTo("r1");
            }
        }
        assertThat(source.calls).hasValue(1);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "..", "a/../b", "/a", "a/", "a//b", "a--b", "a\\b", "a b", "-a", "ä"})
    void namesThatCouldLeadElsewhereAreRefusedAtStart(String name) {
        assertThatThrownBy(() -> new Catalog(Map.of(name, new Switchable()), new SnapshotStore(cache)))
                .isInstanceOf(PenstockException.class)
                .hasMessageContaining("model's name");
    }

    @ParameterizedTest
    @ValueSource(strings = {"../r1", "..", "/", "a/b", "r1\0", "-x"})
    void revisionsThatCouldLeadElsewhereReachNoFile(String revision) {
        Switchable source = new Switchable();
        source.newest = Optional.of("r1");
        Catalog catalog = catalog(source);
        catalog.describe("org/m", "");
        assertThatThrownBy(() -> catalog.describe("org/m", revision)).hasMessageContaining("gone");
    }

    private Catalog catalog(Switchable source) {
        return new Catalog(Map.of("org/m", source), new SnapshotStore(cache));
    }
}
