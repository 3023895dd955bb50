package io.penstock.loader.cache;

import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.loader.source.FileName;
import io.penstock.loader.source.RemoteFile;
import io.penstock.loader.source.Snapshot;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.function.Predicate;
import java.util.zip.CRC32C;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// The power may go at any moment, and of what was not synced then any part may be on the disk: the cache that is
/// opened
/// on it never gives a wrong byte, and what was published is there. What a cache does is recorded and cut short after
/// each
/// of its deeds; of each such moment several disks are made that a power cut may leave.
class TestPowerCut {
    private static final int PIECE = 1 << 16;
    private static final long BOOT = 1;
    private static final long NEXT_BOOT = 2;
    private static final int LUCKS = 3;

    private final RemoteFile large = file("large", PIECE + 700);
    private final RemoteFile small = file("sub/small", 9);
    private final Snapshot snapshot = new Snapshot("org/m", "r1", List.of(large, small));

    @TempDir
    Path folder;

    private RecordingFiles files;
    private final Set<List<Object>> disks = new HashSet<>();

    /// Something that must be true of every disk from a certain deed on.
    private record Promise(int deeds, RemoteFile file) {}

    private final List<Promise> promises = new ArrayList<>();

    @BeforeEach
    void record() throws IOException {
        files = new RecordingFiles(Files.createDirectory(folder.resolve("recorded")));
    }

    private static RemoteFile file(String name, int size) {
        return new RemoteFile(new FileName(name), size, name, Optional.empty(), Optional.empty(), Optional.empty());
    }

    private static byte[] content(RemoteFile file) {
        byte[] bytes = new byte[Math.toIntExact(file.size())];
        new Random(file.size()).nextBytes(bytes);
        return bytes;
    }

    private static byte[] piece(RemoteFile file, int piece) {
        byte[] all = content(file);
        return Arrays.copyOfRange(all, piece * PIECE, Math.min(all.length, (piece + 1) * PIECE));
    }

    private static void fetch(Blob blob, int piece) {
        byte[] bytes = piece(blob.file(), piece);
        CRC32C crc = new CRC32C();
        crc.update(bytes);
        blob.write(ByteBuffer.wrap(bytes), (long) piece * PIECE);
        blob.markPresent(piece, (int) crc.getValue());
    }

    /// As a transfer does it.
    private void publish(CacheDirectory cache) {
        new SnapshotStore(cache).save(snapshot);
        for (RemoteFile file : snapshot.files()) {
            try (Blob blob = cache.open(file)) {
                cache.linkArriving(snapshot, blob);
                for (int piece = blob.present().nextClearBit(0);
                        piece < blob.pieces();
                        piece = blob.present().nextClearBit(piece)) {
                    fetch(blob, piece);
                }
                blob.complete();
                cache.linkComplete(snapshot, blob);
            }
            promises.add(new Promise(files.deeds().size(), file));
        }
    }

    @Test
    void whatIsPublishedIsThereAndNothingIsEverWrong() throws Exception {
        try (CacheDirectory cache = new CacheDirectory(files.root(), PIECE, BOOT)) {
            publish(cache);
        }
        cutAfterEach(0, NEXT_BOOT);
        assertThat(disks).hasSizeGreaterThan(100);
    }

    /// A killed process leaves all that it wrote, but the next one may be killed as well, while it reads again what a
    /// power
    /// cut has left.
    @Test
    void aProcessThatIsKilledWhileItReadsAgainLeavesTheRestToTheNext() throws Exception {
        try (CacheDirectory cache = new CacheDirectory(files.root(), PIECE, BOOT);
                Blob blob = cache.open(large)) {
            fetch(blob, 0);
            fetch(blob, 1);
        }
        List<Deed> before = files.deeds();
        for (int luck = 0; luck < LUCKS; luck++) {
            Path left = folder.resolve("left-" + luck);
            // First of all: what the journal promises is on the disk, and no byte of it.
            Predicate<Deed> survives = luck == 0 ? TestPowerCut::isOfNoPiece : luck(luck);
            Disk.after(before, survives).writeTo(left);
            files = new RecordingFiles(left);
            int begun = files.deeds().size();
            try (CacheDirectory cache = new CacheDirectory(files.root(), PIECE, NEXT_BOOT)) {
                cache.open(large).close();
            }
            for (int deeds = begun; deeds <= files.deeds().size(); deeds++) {
                requireSound(Disk.after(files.deeds().subList(0, deeds), _ -> true), deeds, NEXT_BOOT);
            }
            cutAfterEach(begun, NEXT_BOOT + 1);
        }
    }

    /// A disk that gives other bytes than were written: once that is known it stays known.
    @Test
    void whatWasFoundWrongIsNotBelievedAgain() throws Exception {
        int known;
        try (CacheDirectory cache = new CacheDirectory(files.root(), PIECE, BOOT)) {
            publish(cache);
            promises.clear();
            try (FileChannel rot = FileChannel.open(cache.blobPath(large), StandardOpenOption.WRITE)) {
                rot.write(ByteBuffer.wrap(new byte[] {1, 2, 3}), 5);
                rot.force(true);
            }
            try (Blob blob = cache.open(large)) {
                BitSet wrong = blob.damage(_ -> {});
                assertThat(wrong.stream()).containsExactly(0);
                cache.unpublish(snapshot, large);
                blob.forget(wrong);
            }
            known = files.deeds().size();
            publish(cache);
        }
        cutAfterEach(known, NEXT_BOOT);
    }

    @Test
    void anEvictionThatIsCutShortLeavesNothingThatCannotBeRead() throws Exception {
        int begun;
        try (CacheDirectory cache = new CacheDirectory(files.root(), PIECE, BOOT)) {
            publish(cache);
            promises.clear();
            begun = files.deeds().size();
            cache.discard(snapshot, snapshot.files());
            cache.emptyTrash();
            publish(cache);
        }
        cutAfterEach(begun, NEXT_BOOT);
    }

    @Test
    void aPinHoldsFromTheMomentThatItIsGiven() throws Exception {
        int pinned;
        int released;
        try (CacheDirectory cache = new CacheDirectory(files.root(), PIECE, BOOT)) {
            SnapshotStore store = new SnapshotStore(cache);
            store.save(snapshot);
            store.pin(snapshot, true);
            pinned = files.deeds().size();
            store.use(snapshot);
            released = files.deeds().size();
            store.pin(snapshot, false);
        }
        for (int deeds = pinned; deeds <= released; deeds++) {
            assertThat(isPinned(deeds)).as("after %d deeds", deeds).isTrue();
        }
        assertThat(isPinned(files.deeds().size())).isFalse();
    }

    private boolean isPinned(int deeds) throws IOException {
        Path left = folder.resolve("pinned-" + deeds);
        Disk.after(files.deeds().subList(0, deeds), _ -> false).writeTo(left);
        try (CacheDirectory cache = new CacheDirectory(left, PIECE, NEXT_BOOT)) {
            return new SnapshotStore(cache).isPinned(snapshot);
        }
    }

    /// Cuts the power after each deed.
    ///
    /// @param from how many deeds there are in any case
    /// @param boot of whoever opens what is left
    private void cutAfterEach(int from, long boot) throws IOException {
        List<Deed> deeds = files.deeds();
        for (int count = from; count <= deeds.size(); count++) {
            List<Deed> done = deeds.subList(0, count);
            requireSound(Disk.after(done, _ -> true), count, boot);
            requireSound(Disk.after(done, _ -> false), count, boot);
            requireSound(Disk.after(done, TestPowerCut::isBytes), count, boot);
            requireSound(Disk.after(done, deed -> !isBytes(deed)), count, boot);
            for (int luck = 0; luck < LUCKS; luck++) {
                requireSound(Disk.after(done, luck(31 * count + luck)), count, boot);
            }
        }
    }

    private static boolean isOfNoPiece(Deed deed) {
        return !(deed instanceof Deed.Written written) || written.bytes().length < 700;
    }

    private static boolean isBytes(Deed deed) {
        return deed instanceof Deed.Written || deed instanceof Deed.Cut;
    }

    /// One in two to nine in ten survive.
    private static Predicate<Deed> luck(int seed) {
        Random random = new Random(seed);
        double chance = 0.5 + 0.4 * random.nextDouble();
        return _ -> random.nextDouble() < chance;
    }

    private void requireSound(Disk disk, int deeds, long boot) throws IOException {
        List<RemoteFile> promised = promises.stream()
                .filter(promise -> promise.deeds() <= deeds)
                .map(Promise::file)
                .toList();
        if (!disks.add(List.of(disk.fingerprint(), promised, boot))) {
            return;
        }
        Path left = folder.resolve("disk-" + disks.size());
        disk.writeTo(left);
        String moment = "after deed %d, %s"
                .formatted(deeds, deeds == 0 ? "none" : files.deeds().get(deeds - 1));
        try (CacheDirectory cache = new CacheDirectory(left, PIECE, boot)) {
            assertThat(new SnapshotStore(cache).all()).as(moment).isSubsetOf(snapshot);
            for (RemoteFile file : snapshot.files()) {
                requireSound(cache, file, promised.contains(file), moment);
            }
        }
    }

    private void requireSound(CacheDirectory cache, RemoteFile file, boolean isPromised, String moment)
            throws IOException {
        Path published =
                cache.revisionFolder(snapshot.model(), snapshot.revision()).resolve("complete/" + file.name());
        if (Files.exists(published)) {
            assertThat(Files.readAllBytes(published)).as(moment).isEqualTo(content(file));
        }
        if (isPromised) {
            assertThat(published).as(moment).exists();
            assertThat(cache.holds(file)).as(moment).isTrue();
        }
        if (cache.holds(file)) {
            try (Blob blob = cache.openComplete(file)) {
                requireRight(blob, moment);
            }
        }
        try (Blob blob = cache.open(file)) {
            requireRight(blob, moment);
        }
    }

    private static void requireRight(Blob blob, String moment) {
        blob.present().stream().forEach(piece -> {
            ByteBuffer bytes = ByteBuffer.allocate(blob.pieceLength(piece));
            blob.read(bytes, (long) piece * PIECE);
            assertThat(bytes.array()).as(moment).isEqualTo(piece(blob.file(), piece));
        });
    }
}
