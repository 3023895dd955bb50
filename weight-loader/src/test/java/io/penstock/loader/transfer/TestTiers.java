package io.penstock.loader.transfer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.penstock.emulator.Fault;
import io.penstock.loader.cache.CacheDirectory;
import io.penstock.loader.cache.DurableTier;
import io.penstock.loader.cache.DurableTier.Demote;
import io.penstock.loader.cache.Eviction;
import io.penstock.loader.cache.SnapshotStore;
import io.penstock.loader.source.Snapshot;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// A node whose own disks are empty finds its models on the volume behind them; and a volume that fails there costs
/// no byte and no transfer.
@Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class TestTiers {
    private static final int SIZE = 12 * Fixture.PIECE - 5;

    @TempDir
    Path folder;

    private final List<AutoCloseable> closing = new ArrayList<>();
    private Fixture fixture;
    private SimpleMeterRegistry registry;

    @BeforeEach
    void start() throws IOException {
        fixture = new Fixture(folder, SIZE);
        fixture.stop();
    }

    @AfterEach
    void stop() throws Exception {
        for (AutoCloseable one : closing.reversed()) {
            one.close();
        }
        fixture.start();
        fixture.close();
    }

    /// A node: fast and durable folder.
    private Fixture.Parts node(String fast, long budget, Optional<DurableTier> durable) {
        registry = new SimpleMeterRegistry();
        Fixture.Parts parts = Fixture.Parts.of(
                new CacheDirectory(folder.resolve(fast), Fixture.PIECE),
                fixture.emulator.endpoint(),
                fixture.config,
                registry,
                budget,
                new TransferSettings(
                        Fixture.PART,
                        Fixture.PART,
                        Duration.ofSeconds(1),
                        Fixture.CONNECTIONS,
                        Fixture.MEMORY,
                        Fixture.STALL),
                durable);
        closing.add(parts);
        return parts;
    }

    private void end(Fixture.Parts parts) {
        closing.remove(parts);
        parts.close();
    }

    private DurableTier durable(Path root, long budget, boolean readOnly, boolean promote, Demote demote) {
        CacheDirectory directory = new CacheDirectory(root, Fixture.PIECE, readOnly, Duration.ZERO);
        Eviction eviction = new Eviction(directory, new SnapshotStore(directory), budget);
        return new DurableTier(directory, eviction, new DurableTier.Policy(promote, demote));
    }

    private Optional<DurableTier> durable(boolean promote, Demote demote) {
        return Optional.of(durable(folder.resolve("durable"), 0, false, promote, demote));
    }

    private Fixture.Heard ask(Fixture.Parts parts, Snapshot snapshot) {
        FileWish wish = parts.transfers().wish(snapshot, snapshot.file(Fixture.NAME), parts.source(), List.of());
        Fixture.Heard heard = new Fixture.Heard(wish);
        wish.ask(heard);
        return heard;
    }

    private Snapshot resolve(Fixture.Parts parts) {
        Snapshot snapshot = parts.source().resolve("m", "");
        new SnapshotStore(parts.cache()).save(snapshot);
        return snapshot;
    }

    /// Fetches, and waits until it is in the durable tier as well.
    private Snapshot fill(Fixture.Parts parts) throws Exception {
        Snapshot snapshot = resolve(parts);
        Fixture.Heard heard = ask(parts, snapshot);
        heard.end.get();
        heard.wish.close();
        Fixture.awaitIdle(parts, snapshot);
        assertThat(parts.transfers().bytesDurable(snapshot.file(Fixture.NAME))).isEqualTo(SIZE);
        return snapshot;
    }

    private double count(String counter) {
        return registry.find(counter).counters().stream()
                .mapToDouble(found -> found.count())
                .sum();
    }

    private void assertNoTraffic() {
        assertThat(fixture.emulator.traffic().reads()).isEmpty();
    }

    @Test
    void anEmptyNodeIsFilledFromItsDurableTierAndNotFromTheSource() throws Exception {
        Fixture.Parts first = node("fast", 0, durable(true, Demote.COMPLETE));
        Snapshot snapshot = fill(first);
        assertThat(count("penstock.loader.demoted.bytes")).isEqualTo(SIZE);
        end(first);
        fixture.emulator.traffic().clear();

        Fixture.Parts second = node("empty", 0, durable(true, Demote.COMPLETE));
        // Known without the source, too.
        assertThat(new SnapshotStore(second.cache()).newest("m")).contains(snapshot);
        Fixture.Heard heard = ask(second, snapshot);
        assertThat(heard.end.get()).as("bytes from the source").isZero();
        assertThat(Fixture.await(folder.resolve("empty/models/m")
                        .resolve(snapshot.revision())
                        .resolve("complete/" + Fixture.NAME)))
                .isEqualTo(fixture.content);
        heard.wish.close();
        assertNoTraffic();
        assertThat(registry.counter("penstock.loader.fetched.bytes", "source", "durable")
                        .count())
                .isEqualTo(SIZE);
    }

    @Test
    void withoutPromotionAFileIsUsedWhereItLiesAndStaysWhileItIs() throws Exception {
        Fixture.Parts first = node("fast", 0, durable(true, Demote.COMPLETE));
        Snapshot snapshot = fill(first);
        end(first);
        fixture.emulator.traffic().clear();

        Fixture.Parts second = node("empty", 0, durable(false, Demote.COMPLETE));
        Fixture.Heard heard = ask(second, snapshot);
        assertThat(heard.end.get()).isZero();
        Path path = heard.wish.path(true);
        assertThat(path).startsWith(folder.resolve("durable"));
        assertThat(Files.readAllBytes(path)).isEqualTo(fixture.content);
        assertThat(second.transfers().bytesPresent(snapshot.file(Fixture.NAME))).isZero();
        assertThatThrownBy(() -> second.transfers().evict(snapshot)).hasMessageContaining("in use");
        assertThat(path).exists();
        heard.wish.close();
        assertThat(second.transfers().evict(snapshot)).isEqualTo(SIZE);
        assertThat(path).doesNotExist();
        assertNoTraffic();
        assertThat(registry.counter("penstock.loader.cache.hit.bytes", "tier", "durable")
                        .count())
                .isEqualTo(SIZE);
    }

    @Test
    void whatTheFastTierHasNoRoomForGoesBehindAndComesBack() throws Exception {
        Fixture.Parts parts = node("fast", SIZE + SIZE / 2, durable(true, Demote.EVICTED));
        Snapshot old = resolve(parts);
        Fixture.Heard heard = ask(parts, old);
        heard.end.get();
        heard.wish.close();
        Fixture.await(published("fast", old));
        Fixture.awaitIdle(parts, old);
        assertThat(parts.transfers().bytesDurable(old.file(Fixture.NAME))).isZero();

        replaceModel(1);
        Snapshot fresh = resolve(parts);
        Fixture.Heard other = ask(parts, fresh);
        other.end.get();
        other.wish.close();
        assertThat(published("fast", old)).doesNotExist();
        assertThat(Files.readAllBytes(published("durable", old))).isEqualTo(fixture.content);
        Fixture.await(published("fast", fresh));
        Fixture.awaitIdle(parts, fresh);

        fixture.emulator.traffic().clear();
        Fixture.Heard again = ask(parts, old);
        assertThat(again.end.get()).isZero();
        again.wish.close();
        assertThat(Fixture.await(published("fast", old))).isEqualTo(fixture.content);
        assertNoTraffic();
    }

    @Test
    void theDurableTierKeepsWithinItsBudgetAndWhatItCannotTakeStaysInTheFastOne() throws Exception {
        Optional<DurableTier> small =
                Optional.of(durable(folder.resolve("durable"), SIZE + SIZE / 2, false, true, Demote.COMPLETE));
        Fixture.Parts parts = node("fast", 0, small);
        Snapshot old = fill(parts);
        replaceModel(1);
        Snapshot fresh = fill(parts);
        assertThat(published("durable", old)).doesNotExist();
        assertThat(Files.readAllBytes(published("fast", old))).isEqualTo(fixture.content);
        assertThat(registry.counter("penstock.loader.cache.evictions", "tier", "durable")
                        .count())
                .isEqualTo(1);

        // Pinned: nothing behind may go for the third one, which then is in the fast tier alone.
        new SnapshotStore(parts.cache()).pin(fresh, true);
        replaceModel(2);
        Snapshot third = resolve(parts);
        Fixture.Heard heard = ask(parts, third);
        heard.end.get();
        heard.wish.close();
        Fixture.awaitIdle(parts, third);
        assertThat(count("penstock.loader.tier.failures")).isEqualTo(1);
        assertThat(published("durable", fresh)).exists();
        assertThat(published("durable", third)).doesNotExist();
        assertThat(published("fast", third)).exists();
    }

    @Test
    void bytesThatWentBadBehindAreNoticedAndComeFromTheSource() throws Exception {
        Fixture.Parts first = node("fast", 0, durable(true, Demote.COMPLETE));
        Snapshot snapshot = fill(first);
        end(first);
        fixture.emulator.traffic().clear();
        Path behind = published("durable", snapshot);
        try (FileChannel channel = FileChannel.open(behind, StandardOpenOption.WRITE)) {
            channel.write(ByteBuffer.wrap(new byte[] {1, 2, 3}), 7L * Fixture.PIECE);
        }
        assertFilledInSpiteOfIt(snapshot);
    }

    @Test
    void aDurableTierThatEndsInMidFileIsGoneOnWithoutIt() throws Exception {
        Fixture.Parts first = node("fast", 0, durable(true, Demote.COMPLETE));
        Snapshot snapshot = fill(first);
        end(first);
        fixture.emulator.traffic().clear();
        try (FileChannel channel = FileChannel.open(published("durable", snapshot), StandardOpenOption.WRITE)) {
            channel.truncate(5L * Fixture.PIECE + 9);
            // Of the size that it had, as a file system may leave it.
            channel.write(ByteBuffer.allocate(1), SIZE - 1);
        }
        assertFilledInSpiteOfIt(snapshot);
    }

    @Test
    void aFileBehindThatIsTooShortDoesNotCount() throws Exception {
        Fixture.Parts first = node("fast", 0, durable(true, Demote.COMPLETE));
        Snapshot snapshot = fill(first);
        end(first);
        try (FileChannel channel = FileChannel.open(published("durable", snapshot), StandardOpenOption.WRITE)) {
            channel.truncate(SIZE - 1);
        }
        Fixture.Parts second = node("empty", 0, durable(false, Demote.NEVER));
        Fixture.Heard heard = ask(second, snapshot);
        assertThat(heard.end.get()).isEqualTo(SIZE);
        assertThat(Fixture.await(published("empty", snapshot))).isEqualTo(fixture.content);
        heard.wish.close();
    }

    private void assertFilledInSpiteOfIt(Snapshot snapshot) throws Exception {
        Fixture.Parts second = node("empty", 0, durable(true, Demote.NEVER));
        Fixture.Heard heard = ask(second, snapshot);
        assertThat(heard.end.get()).as("bytes from the source").isBetween(1L, (long) SIZE - 1);
        assertThat(Fixture.await(published("empty", snapshot))).isEqualTo(fixture.content);
        assertThat(count("penstock.loader.tier.failures")).isGreaterThanOrEqualTo(1);
        heard.wish.close();
    }

    @Test
    void whatWentBadBehindIsFoundByReadingItAgainAndPutRightFromTheFastTier() throws Exception {
        Fixture.Parts parts = node("fast", 0, durable(true, Demote.COMPLETE));
        Snapshot snapshot = fill(parts);
        List<ByteRange> wrong = damageBehind(parts, snapshot);
        fixture.emulator.traffic().clear();
        assertThat(mend(parts, snapshot, wrong)).isTrue();
        assertThat(Files.readAllBytes(published("durable", snapshot))).isEqualTo(fixture.content);
        assertThat(verifyBehind(parts, snapshot)).isEmpty();
        assertNoTraffic();
    }

    @Test
    void whatWentBadBehindAndIsNotInTheFastTierIsPutRightFromTheSource() throws Exception {
        Fixture.Parts first = node("fast", 0, durable(true, Demote.COMPLETE));
        Snapshot snapshot = fill(first);
        end(first);
        Fixture.Parts second = node("empty", 0, durable(false, Demote.COMPLETE));
        List<ByteRange> wrong = damageBehind(second, snapshot);
        fixture.emulator.traffic().clear();
        // Without them nothing is made whole.
        assertThatThrownBy(() -> mend(second, snapshot, wrong)).hasMessageContaining("are not what they were");
        FileWish wish = second.transfers().wish(snapshot, snapshot.file(Fixture.NAME), second.source(), wrong);
        Fixture.Heard heard = new Fixture.Heard(wish);
        wish.ask(heard);
        assertThat(heard.end.get()).isEqualTo(2L * Fixture.PIECE - 5);
        assertThat(mend(second, snapshot, wrong)).isTrue();
        wish.close();
        assertThat(Files.readAllBytes(published("durable", snapshot))).isEqualTo(fixture.content);
        assertThat(verifyBehind(second, snapshot)).isEmpty();
        assertThat(fixture.emulator.traffic().bytes()).isEqualTo(2L * Fixture.PIECE - 5);
    }

    @Test
    void aCloneThatWentBadIsUsedNoMoreThoughItCannotBePutRight() throws Exception {
        Fixture.Parts first = node("fast", 0, durable(true, Demote.COMPLETE));
        Snapshot snapshot = fill(first);
        end(first);
        Fixture.invert(published("durable", snapshot), 5L * Fixture.PIECE);
        String before = listing(folder.resolve("durable"));
        DurableTier clone = durable(folder.resolve("durable"), 0, true, false, Demote.NEVER);
        Fixture.Parts other = node("other", 0, Optional.of(clone));
        List<ByteRange> wrong = verifyBehind(other, snapshot);
        assertThat(wrong).containsExactly(new ByteRange(5L * Fixture.PIECE, Fixture.PIECE));
        Fixture.Heard heard = ask(other, snapshot);
        assertThat(heard.end.get()).isEqualTo(SIZE);
        assertThat(heard.wish.path(false)).startsWith(folder.resolve("other"));
        assertThat(mend(other, snapshot, wrong)).isFalse();
        heard.wish.close();
        assertThat(listing(folder.resolve("durable"))).isEqualTo(before);
    }

    /// Alters two pieces behind, and has them found.
    private List<ByteRange> damageBehind(Fixture.Parts parts, Snapshot snapshot) throws IOException {
        Path behind = published("durable", snapshot);
        Fixture.invert(behind, 3L * Fixture.PIECE + 7);
        Fixture.invert(behind, SIZE - 1L);
        List<ByteRange> wrong = verifyBehind(parts, snapshot);
        assertThat(wrong)
                .containsExactly(
                        new ByteRange(3L * Fixture.PIECE, Fixture.PIECE),
                        new ByteRange(11L * Fixture.PIECE, Fixture.PIECE - 5));
        assertThat(behind).doesNotExist();
        assertThat(registry.counter("penstock.loader.checksum.failures", "scope", "durable")
                        .count())
                .isEqualTo(1);
        return wrong;
    }

    private List<ByteRange> verifyBehind(Fixture.Parts parts, Snapshot snapshot) {
        long[] read = {0};
        List<ByteRange> wrong = parts.transfers().verifyDurable(snapshot.file(Fixture.NAME), bytes -> read[0] += bytes);
        assertThat(read[0]).isEqualTo(SIZE);
        return wrong;
    }

    private boolean mend(Fixture.Parts parts, Snapshot snapshot, List<ByteRange> wrong) {
        return parts.transfers().mendDurable(snapshot, snapshot.file(Fixture.NAME), parts.source(), wrong);
    }

    @Test
    void aSnapshotOfTheVolumeServesAnotherNodeWithoutAWrite() throws Exception {
        Fixture.Parts first = node("fast", 0, durable(true, Demote.COMPLETE));
        Snapshot snapshot = fill(first);
        // As a snapshot does: while the loader runs, names and links as they are.
        assertThat(command(
                        "cp",
                        "-a",
                        folder.resolve("durable").toString(),
                        folder.resolve("clone").toString()))
                .isEmpty();
        end(first);
        fixture.emulator.traffic().clear();
        fixture.emulator.faults().inject(new Fault.Refusal(500, Optional.empty()), Integer.MAX_VALUE);
        String before = listing(folder.resolve("clone"));

        for (boolean promote : new boolean[] {true, false}) {
            DurableTier clone = durable(folder.resolve("clone"), 0, true, promote, Demote.COMPLETE);
            Fixture.Parts other = node("other" + promote, 0, Optional.of(clone));
            Snapshot known = new SnapshotStore(other.cache()).newest("m").orElseThrow();
            Fixture.Heard heard = ask(other, known);
            assertThat(heard.end.get()).isZero();
            assertThat(known).isEqualTo(snapshot);
            assertThat(Files.readAllBytes(heard.wish.path(false))).isEqualTo(fixture.content);
            heard.wish.close();
        }
        // Two nodes at once read it, and a cache that is only read can be made of it as well.
        try (CacheDirectory shared = new CacheDirectory(folder.resolve("clone"), Fixture.PIECE, true, Duration.ZERO)) {
            assertThat(shared.holds(snapshot.file(Fixture.NAME))).isTrue();
        }
        assertThat(listing(folder.resolve("clone"))).isEqualTo(before);
        assertNoTraffic();
    }

    @Test
    void aDurableVolumeThatIsFullCostsNoTransfer() throws Exception {
        Path volume = Files.createDirectories(folder.resolve("durable"));
        String refusal = command("mount", "-t", "tmpfs", "-o", "size=" + SIZE / 2, "tmpfs", volume.toString());
        assumeTrue(refusal.isEmpty(), "only who may mount can have a volume fill up: " + refusal);
        closing.add(() -> assertThat(command("umount", volume.toString())).isEmpty());
        Fixture.Parts parts = node("fast", 0, durable(true, Demote.COMPLETE));
        Snapshot full = resolve(parts);
        Fixture.Heard heard = ask(parts, full);
        heard.end.get();
        heard.wish.close();
        Fixture.awaitIdle(parts, full);
        assertThat(Files.readAllBytes(published("fast", full))).isEqualTo(fixture.content);
        assertThat(count("penstock.loader.tier.failures")).isEqualTo(1);
    }

    private Path published(String tier, Snapshot snapshot) {
        return folder.resolve(tier)
                .resolve("models/m")
                .resolve(snapshot.revision())
                .resolve("complete/" + Fixture.NAME);
    }

    private void replaceModel(int seed) throws IOException {
        byte[] content = new byte[SIZE];
        new Random(seed).nextBytes(content);
        fixture.emulator.putFile("models", "m/" + Fixture.NAME, Files.write(folder.resolve("another"), content));
    }

    private static String listing(Path root) throws IOException {
        StringBuilder listing = new StringBuilder();
        try (Stream<Path> paths = Files.walk(root)) {
            for (Path path : paths.sorted().toList()) {
                listing.append(path)
                        .append(' ')
                        .append(Files.getLastModifiedTime(path))
                        .append('\n');
            }
        }
        return listing.toString();
    }

    /// @return what it says, nothing where it has succeeded
    private static String command(String... words) throws IOException, InterruptedException {
        Process process = new ProcessBuilder(words).redirectErrorStream(true).start();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        if (!process.waitFor(20, TimeUnit.SECONDS)) {
            throw new PenstockException(ErrorCategory.DEADLINE, "%s does not end", words[0]);
        }
        return process.exitValue() == 0 ? "" : said.strip() + " (exit " + process.exitValue() + ")";
    }
}
