package io.penstock.loader.transfer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.emulator.Emulator;
import io.penstock.emulator.Fault;
import io.penstock.emulator.Link;
import io.penstock.emulator.ObjectRead;
import io.penstock.loader.source.FileName;
import io.penstock.loader.source.OciAccount;
import io.penstock.loader.source.OciSource;
import io.penstock.loader.source.Renewable;
import io.penstock.loader.source.Snapshot;
import io.penstock.loader.transfer.Fixture.Heard;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(value = 30, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class TestTransfers {
    private static final int SIZE = 40 * Fixture.PIECE + 1234;

    @TempDir
    Path folder;

    private Fixture fixture;
    private Snapshot snapshot;

    @BeforeEach
    void start() throws IOException {
        fixture = new Fixture(folder, SIZE);
        snapshot = fixture.resolve();
    }

    @AfterEach
    void stop() {
        fixture.close();
    }

    @Test
    void fetchesAWholeFileOnceAndPublishesIt() throws Exception {
        Heard heard = fixture.ask(snapshot);
        assertThat(heard.end.get()).isEqualTo(SIZE);
        assertThat(heard.present).containsExactly(new ByteRange(0, SIZE));
        assertThat(heard.arrived).isEqualTo(SIZE);
        assertThat(fixture.awaitPublished(snapshot)).isEqualTo(fixture.content);
        assertThat(fixture.emulator.traffic().bytes()).isEqualTo(SIZE);
        heard.wish.close();

        Heard again = fixture.ask(snapshot);
        assertThat(again.end.get()).isZero();
        assertThat(again.present).containsExactly(new ByteRange(0, SIZE));
        assertThat(again.wish.path(true)).isEqualTo(fixture.published(snapshot));
        assertThat(fixture.emulator.traffic().bytes()).isEqualTo(SIZE);
        assertThat(fixture.count("penstock.loader.cache.hit.bytes")).isEqualTo(SIZE);
    }

    @Test
    void fetchesOnlyThePiecesThatRangesTouch() throws Exception {
        ByteRange first = new ByteRange(10, 100);
        ByteRange second = new ByteRange(5L * Fixture.PIECE - 7, 2L * Fixture.PIECE + 7);
        ByteRange last = new ByteRange(SIZE - 3, 3);
        Heard heard = fixture.ask(snapshot, first, second, last);
        assertThat(heard.end.get()).isEqualTo(4L * Fixture.PIECE + 1234);
        assertThat(merged(heard.present)).containsExactly(first, second, last);
        assertThat(fixture.emulator.traffic().reads())
                .extracting(ObjectRead::offset)
                .containsExactlyInAnyOrder(0L, 4L * Fixture.PIECE, 40L * Fixture.PIECE);
        assertThat(fixture.published(snapshot)).doesNotExist();
        byte[] there = Files.readAllBytes(heard.wish.path(false));
        assertThat(there).hasSize(SIZE);
        for (ByteRange range : List.of(first, second, last)) {
            int from = (int) range.offset();
            int to = (int) range.end();
            assertThat(Arrays.copyOfRange(there, from, to)).isEqualTo(Arrays.copyOfRange(fixture.content, from, to));
        }
        Heard rest = fixture.ask(snapshot);
        assertThat(rest.end.get()).isEqualTo(36L * Fixture.PIECE);
        assertThat(fixture.emulator.traffic().bytes()).isEqualTo(SIZE);
        assertThat(fixture.awaitPublished(snapshot)).isEqualTo(fixture.content);
    }

    @Test
    void twentyAskersCauseOneDownload() throws Exception {
        fixture.emulator.faults().inject(new Fault.Latency(Duration.ofMillis(20)), 8);
        List<Heard> all = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            all.add(i % 2 == 0 ? fixture.ask(snapshot) : fixture.ask(snapshot, new ByteRange(i * 100_000L, 150_000)));
        }
        long fetched = 0;
        for (Heard heard : all) {
            fetched += heard.end.get();
            assertThat(merged(heard.present)).isEqualTo(heard.wish.ranges());
        }
        assertThat(fetched).isEqualTo(SIZE);
        assertThat(fixture.emulator.traffic().bytes()).isEqualTo(SIZE);
        assertThat(fixture.awaitPublished(snapshot)).isEqualTo(fixture.content);
    }

    @Test
    void aRestartFetchesOnlyWhatIsMissing() throws Exception {
        fixture.ask(snapshot, new ByteRange(0, 20L * Fixture.PIECE)).end.get();
        fixture.restart();
        fixture.emulator.traffic().clear();
        assertThat(fixture.ask(snapshot).end.get()).isEqualTo(SIZE - 20L * Fixture.PIECE);
        assertThat(fixture.emulator.traffic().bytes()).isEqualTo(SIZE - 20L * Fixture.PIECE);
        assertThat(fixture.awaitPublished(snapshot)).isEqualTo(fixture.content);
    }

    @Test
    void cancellingLeavesWhatHasArrivedAndStopsTheRest() throws Exception {
        fixture.emulator.faults().inject(new Fault.Latency(Duration.ofMillis(60)), Integer.MAX_VALUE);
        Heard whole = fixture.ask(snapshot);
        whole.begun.get();
        whole.wish.close();
        // What is in flight ends; a wish for another end of the file is served behind it.
        Heard other = fixture.ask(snapshot, new ByteRange(SIZE - 1, 1));
        other.end.get();
        other.wish.close();
        fixture.awaitIdle(snapshot);
        fixture.stop();
        long begun = fixture.emulator.traffic().bytes();
        assertThat(begun).isLessThanOrEqualTo((2L * Fixture.CONNECTIONS + 1) * Fixture.PART);
        fixture.start();
        fixture.emulator.faults().clear();
        assertThat(fixture.ask(snapshot).end.get()).isBetween(SIZE - begun, SIZE - 1L);
    }

    @Test
    void urgentReadsGoAheadOfBulk() throws Exception {
        fixture.emulator.faults().inject(new Fault.Latency(Duration.ofMillis(40)), Integer.MAX_VALUE);
        Heard bulk = fixture.ask(snapshot);
        try (FileReader reader = fixture.parts()
                .transfers()
                .reader(snapshot, snapshot.file(Fixture.NAME), fixture.parts().source())) {
            // Already queued as part of the bulk: shared, not fetched twice.
            reader.await(new ByteRange(SIZE - 10, 10), new CompletableFuture<>());
            ByteBuffer tail = ByteBuffer.allocate(10);
            assertThat(reader.read(tail, SIZE - 10)).isEqualTo(10);
            assertThat(tail.array()).isEqualTo(Arrays.copyOfRange(fixture.content, SIZE - 10, SIZE));
        }
        bulk.end.get();
        assertThat(fixture.emulator.traffic().bytes()).isEqualTo(SIZE);
    }

    @Test
    void aChangedObjectStopsTheTransferAndNewBytesAreNotMixedIn() throws Exception {
        fixture.ask(snapshot, new ByteRange(0, 1)).end.get();
        fixture.emulator.faults().inject(new Fault.Replacement(), 1, read -> read.offset() > 0);
        assertThatThrownBy(fixture.ask(snapshot).end::get)
                .cause()
                .isInstanceOfSatisfying(
                        PenstockException.class,
                        failure -> assertThat(failure.category()).isEqualTo(ErrorCategory.CORRUPT))
                .hasMessageContaining("changed at its source");
        assertThat(fixture.published(snapshot)).doesNotExist();
        Snapshot fresh = fixture.resolve();
        assertThat(fresh.revision()).isNotEqualTo(snapshot.revision());
        fixture.ask(fresh).end.get();
        byte[] inverted = fixture.content.clone();
        for (int i = 0; i < inverted.length; i++) {
            inverted[i] = (byte) ~inverted[i];
        }
        assertThat(fixture.awaitPublished(fresh)).isEqualTo(inverted);
    }

    @Test
    void refusedCredentialsAreNamedAsTheReason() throws Exception {
        fixture.emulator.faults().inject(new Fault.Refusal(403, Optional.empty()), Integer.MAX_VALUE);
        assertThatThrownBy(() -> fixture.ask(snapshot, new ByteRange(0, 1)).end.get(10, TimeUnit.SECONDS))
                .hasMessageContaining("refuses our credentials");
    }

    @Test
    void rangesOutOfOrderOrBoundsAreRefused() {
        for (List<ByteRange> wrong : List.of(
                List.of(new ByteRange(0, SIZE + 1)),
                List.of(new ByteRange(100, 10), new ByteRange(50, 10)),
                List.of(new ByteRange(0, 10), new ByteRange(9, 1)))) {
            assertThatThrownBy(() -> fixture.wish(snapshot, wrong))
                    .isInstanceOfSatisfying(
                            PenstockException.class,
                            failure -> assertThat(failure.category()).isEqualTo(ErrorCategory.BAD_INPUT));
        }
        assertThatThrownBy(() -> new ByteRange(-1, 2)).isInstanceOf(PenstockException.class);
        assertThatThrownBy(() -> new ByteRange(1, 0)).isInstanceOf(PenstockException.class);
        assertThatThrownBy(() -> new ByteRange(2, Long.MAX_VALUE)).isInstanceOf(PenstockException.class);
    }

    @Test
    void anEmptyFileIsPublishedToo() throws Exception {
        fixture.emulator.putFile("models", "m/empty", Files.createFile(folder.resolve("nothing")));
        Snapshot both = fixture.resolve();
        FileWish wish = fixture.parts()
                .transfers()
                .wish(both, both.file(new FileName("empty")), fixture.parts().source(), List.of());
        Heard heard = new Heard(wish);
        wish.ask(heard);
        assertThat(heard.end.get()).isZero();
        Path published = fixture.published(both).resolveSibling("empty");
        assertThat(Fixture.await(published)).isEmpty();
        assertThat(wish.path(true)).isEqualTo(published);
    }

    @Test
    void credentialsThatHaveExpiredAreReadAnewInMidTransfer() throws Exception {
        fixture.emulator.faults().inject(new Fault.ExpiredCredentials(), 3, read -> read.offset() > 0);
        Heard heard = fixture.ask(snapshot);
        assertThat(heard.end.get()).isEqualTo(SIZE);
        assertThat(fixture.awaitPublished(snapshot)).isEqualTo(fixture.content);

        fixture.emulator.faults().inject(new Fault.ExpiredCredentials(), Integer.MAX_VALUE);
        fixture.emulator.putFile("models", "m/" + Fixture.NAME, fixture.folder.resolve("original"));
        assertThatThrownBy(fixture.ask(fixture.resolve()).end::get).hasMessageContaining("credentials");
    }

    @Test
    void aConnectionThatIsFarSlowerThanOthersIsReplaced() throws Exception {
        long even = 2_000_000;
        fixture.emulator.link(new Link(Duration.ZERO, connection -> connection == 1 ? even / 50 : even));
        long begin = System.nanoTime();
        Heard heard = fixture.ask(snapshot);
        heard.end.get();
        assertThat(fixture.registry
                        .counter("penstock.loader.retries", "cause", "slow")
                        .count())
                .isGreaterThanOrEqualTo(1);
        // Left alone, the slow one would have needed over six seconds for its part.
        assertThat(Duration.ofNanos(System.nanoTime() - begin)).isLessThan(Duration.ofSeconds(6));
        assertThat(fixture.awaitPublished(snapshot)).isEqualTo(fixture.content);
    }

    @Test
    void aPreauthenticatedRequestIsASource() throws Exception {
        OciSource granted = new OciSource(
                fixture.parts().http(),
                new Renewable<>(() -> OciAccount.preauthenticated(fixture.emulator.preauthenticate("models"))),
                Emulator.NAMESPACE,
                "models",
                "m");
        Snapshot open = granted.resolve("m", "");
        assertThat(open.revision()).isEqualTo(snapshot.revision());
        FileWish wish = fixture.parts().transfers().wish(open, open.file(Fixture.NAME), granted, List.of());
        Heard heard = new Heard(wish);
        wish.ask(heard);
        assertThat(heard.end.get()).isEqualTo(SIZE);
        assertThat(fixture.awaitPublished(open)).isEqualTo(fixture.content);
    }

    static List<ByteRange> merged(List<ByteRange> ranges) {
        List<ByteRange> merged = new ArrayList<>();
        ranges.stream().sorted(Comparator.comparingLong(ByteRange::offset)).forEach(range -> {
            ByteRange last = merged.isEmpty() ? null : merged.getLast();
            if (last != null && last.end() == range.offset()) {
                merged.set(merged.size() - 1, new ByteRange(last.offset(), last.length() + range.length()));
            } else {
                merged.add(range);
            }
        });
        return merged;
    }
}
