package io.penstock.loader.cache;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.loader.source.FileName;
import io.penstock.loader.source.RemoteFile;
import io.penstock.loader.source.Snapshot;
import io.penstock.loader.verify.Checksum;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.zip.CRC32C;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// What is believed after a kill, a crash of the machine, or damage to the cache's files.
class TestBlob {
    private static final int PIECE = 1 << 16;

    @TempDir
    Path folder;

    private final byte[] content = new byte[4 * PIECE + 100];
    private final RemoteFile file;

    TestBlob() {
        new Random(5).nextBytes(content);
        file = file("x", sum(content));
    }

    private RemoteFile file(String name, int sum) {
        return new RemoteFile(
                new FileName(name),
                content.length,
                "content of " + name,
                Optional.empty(),
                Optional.of(new Checksum.Crc32cSum(sum)),
                Optional.empty());
    }

    @Test
    void remembersPiecesOverARestart() {
        try (CacheDirectory cache = new CacheDirectory(folder, PIECE, 1);
                Blob blob = cache.open(file)) {
            write(blob, 1);
            write(blob, 4);
        }
        try (CacheDirectory cache = new CacheDirectory(folder, PIECE, 1)) {
            assertThat(cache.bytesPresent(file)).isEqualTo(PIECE + 100);
            try (Blob blob = cache.open(file)) {
                assertThat(blob.present().stream()).containsExactly(1, 4);
                assertThat(blob.bytesPresent()).isEqualTo(PIECE + 100);
                assertThat(blob.isComplete()).isFalse();
                write(blob, 0);
                write(blob, 2);
                write(blob, 3);
                assertThat(blob.matches(digest(blob))).isTrue();
            }
        }
    }

    @Test
    void afterACrashOfTheMachineOnlyBytesThatAreThereCount() throws IOException {
        Path data;
        try (CacheDirectory cache = new CacheDirectory(folder, PIECE, 1);
                Blob blob = cache.open(file)) {
            for (int piece = 0; piece < 5; piece++) {
                write(blob, piece);
            }
            data = blob.path();
        }
        // The journal reached the disk, one block of the data did not.
        try (RandomAccessFile damaged = new RandomAccessFile(data.toFile(), "rw")) {
            damaged.seek(2 * PIECE + 4096);
            damaged.write(new byte[512]);
        }
        try (CacheDirectory cache = new CacheDirectory(folder, PIECE, 2);
                Blob blob = cache.open(file)) {
            assertThat(blob.present().stream()).containsExactly(0, 1, 3, 4);
        }
    }

    @Test
    void tornAndForeignJournalsAreNotBelieved() throws IOException {
        Path journal;
        try (CacheDirectory cache = new CacheDirectory(folder, PIECE, 1);
                Blob blob = cache.open(file)) {
            write(blob, 0);
            write(blob, 1);
            journal = Blob.journalPath(blob.path());
        }
        byte[] bytes = Files.readAllBytes(journal);
        byte[] torn = bytes.clone();
        torn[64 + 8 + 6] ^= 1;
        Files.write(journal, torn);
        assertThat(reopened()).containsExactly(0);
        Files.write(journal, Arrays.copyOf(bytes, 64 + 8 + 3));
        assertThat(reopened()).containsExactly(0);
        byte[] foreign = bytes.clone();
        foreign[15]++;
        Files.write(journal, foreign);
        assertThat(reopened()).isEmpty();
        Files.write(journal, new byte[3]);
        assertThat(reopened()).isEmpty();
    }

    @Test
    void aJournalWithoutItsDataIsNotBelieved() throws IOException {
        try (CacheDirectory cache = new CacheDirectory(folder, PIECE, 1)) {
            Path data;
            try (Blob blob = cache.open(file)) {
                write(blob, 0);
                data = blob.path();
            }
            Files.delete(data);
            assertThat(reopened(cache)).isEmpty();
        }
    }

    @Test
    void aShortenedFileIsNotComplete() throws IOException {
        Path data;
        try (CacheDirectory cache = new CacheDirectory(folder, PIECE, 1);
                Blob blob = cache.open(file)) {
            for (int piece = 0; piece < 5; piece++) {
                write(blob, piece);
            }
            blob.complete();
            data = blob.path();
        }
        try (RandomAccessFile damaged = new RandomAccessFile(data.toFile(), "rw")) {
            damaged.setLength(3 * PIECE);
        }
        try (CacheDirectory cache = new CacheDirectory(folder, PIECE, 1);
                Blob blob = cache.open(file)) {
            assertThat(blob.isComplete()).isFalse();
            assertThat(blob.present().stream()).containsExactly(0, 1, 2);
        }
    }

    @Test
    void everyKindOfChecksumFindsAFlippedBit() throws Exception {
        String sha256 = hex("SHA-256", new byte[0]);
        String git = hex("SHA-1", ("blob " + content.length + "\0").getBytes(StandardCharsets.UTF_8));
        try (CacheDirectory cache = new CacheDirectory(folder, PIECE, 1)) {
            int i = 0;
            for (Checksum checksum : List.of(
                    new Checksum.Crc32cSum(sum(content)), new Checksum.Sha256(sha256), new Checksum.GitBlob(git))) {
                RemoteFile checked = new RemoteFile(
                        new FileName("f" + i++),
                        content.length,
                        checksum.text(),
                        Optional.empty(),
                        Optional.of(checksum),
                        Optional.empty());
                try (Blob blob = cache.open(checked)) {
                    for (int piece = 0; piece < 5; piece++) {
                        write(blob, piece);
                    }
                    assertThat(blob.matches(digest(blob))).isTrue();
                    content[3 * PIECE] ^= 4;
                    write(blob, 3);
                    content[3 * PIECE] ^= 4;
                    assertThat(blob.matches(digest(blob))).isFalse();
                    blob.forget();
                    assertThat(blob.present().isEmpty()).isTrue();
                }
            }
        }
    }

    @Test
    void aNameIsPublishedOnlyWhenItsFileIsComplete() throws IOException {
        try (CacheDirectory cache = new CacheDirectory(folder, PIECE, 1);
                Blob blob = cache.open(file)) {
            Snapshot snapshot = new Snapshot("some/model", "r1", List.of(file));
            Path arriving = cache.linkArriving(snapshot, blob);
            assertThat(arriving).isEqualTo(folder.resolve("models/some--model/r1/arriving/x"));
            assertThatThrownBy(() -> cache.linkComplete(snapshot, blob)).hasMessageContaining("not complete");
            assertThatThrownBy(blob::complete).hasMessageContaining("not complete");
            for (int piece = 0; piece < 5; piece++) {
                write(blob, piece);
            }
            blob.complete();
            Path published = cache.linkComplete(snapshot, blob);
            assertThat(Files.readAllBytes(published)).isEqualTo(content);
            assertThat(Files.isSameFile(published, arriving)).isTrue();
            assertThat(cache.linkComplete(snapshot, blob)).isEqualTo(published);
        }
    }

    @Test
    void aFullVolumeIsSaidToBeFull() throws IOException {
        try (CacheDirectory cache = new CacheDirectory(folder, PIECE, 1)) {
            Path path = cache.blobPath(file);
            Files.createDirectories(path.getParent());
            // The kernel refuses every write to this device for want of space.
            Files.createSymbolicLink(path, Path.of("/dev/full"));
            assertThatThrownBy(() -> cache.open(file))
                    .isInstanceOfSatisfying(
                            PenstockException.class,
                            failure -> assertThat(failure.category()).isEqualTo(ErrorCategory.OVERLOADED))
                    .hasMessageContaining("no space left");
            Eviction eviction = new Eviction(cache, new SnapshotStore(cache), 0);
            assertThatThrownBy(() -> eviction.makeRoom(Long.MAX_VALUE / 2, new AllInUse()))
                    .isInstanceOfSatisfying(
                            PenstockException.class,
                            failure -> assertThat(failure.category()).isEqualTo(ErrorCategory.OVERLOADED))
                    .hasMessageContaining("left on its volume");
            Files.delete(path);
        }
    }

    @Test
    void oneLoaderAtATime() {
        try (CacheDirectory cache = new CacheDirectory(folder, PIECE, 1)) {
            assertThat(cache.root()).isEqualTo(folder);
            assertThatThrownBy(() -> new CacheDirectory(folder, PIECE, 1))
                    .isInstanceOf(PenstockException.class)
                    .hasMessageContaining("in use");
        }
        new CacheDirectory(folder, PIECE, 1).close();
    }

    private List<Integer> reopened() {
        try (CacheDirectory cache = new CacheDirectory(folder, PIECE, 1)) {
            return reopened(cache);
        }
    }

    private List<Integer> reopened(CacheDirectory cache) {
        try (Blob blob = cache.open(file)) {
            return blob.present().stream().boxed().toList();
        }
    }

    private void write(Blob blob, int piece) {
        byte[] bytes = Arrays.copyOfRange(content, piece * PIECE, Math.min(content.length, (piece + 1) * PIECE));
        blob.write(ByteBuffer.wrap(bytes), (long) piece * PIECE);
        blob.markPresent(piece, sum(bytes));
    }

    private static int sum(byte[] bytes) {
        CRC32C crc = new CRC32C();
        crc.update(bytes);
        return (int) crc.getValue();
    }

    private String hex(String algorithm, byte[] before) throws NoSuchAlgorithmException {
        MessageDigest digest = MessageDigest.getInstance(algorithm);
        digest.update(before);
        return HexFormat.of().formatHex(digest.digest(content));
    }

    private static Optional<RunningDigest> digest(Blob blob) {
        Optional<RunningDigest> digest = RunningDigest.of(blob);
        digest.ifPresent(running -> running.take(blob.pieces()));
        return digest;
    }

    @Test
    void aDigestThatFollowsTheFrontIsThatOfTheWhole() throws Exception {
        RemoteFile hashed = new RemoteFile(
                file.name(),
                file.size(),
                "hashed",
                Optional.empty(),
                Optional.of(new Checksum.Sha256(hex("SHA-256", new byte[0]))),
                Optional.empty());
        try (CacheDirectory cache = new CacheDirectory(folder, PIECE, 1);
                Blob blob = cache.open(hashed)) {
            RunningDigest digest = RunningDigest.of(blob).orElseThrow();
            for (int piece = 0; piece < blob.pieces(); piece++) {
                int offset = piece * PIECE;
                blob.write(ByteBuffer.wrap(content, offset, blob.pieceLength(piece)), offset);
                digest.take(piece + 1);
                // What is behind the front is not read again.
                blob.write(ByteBuffer.wrap(new byte[blob.pieceLength(piece)]), offset);
            }
            assertThat(digest.isWhole()).isTrue();
            assertThat(blob.matches(Optional.of(digest))).isTrue();
        }
    }

    private static final class AllInUse implements Eviction.Usage {
        @Override
        public boolean isInUse(Snapshot snapshot) {
            return true;
        }

        @Override
        public boolean ifIdle(Snapshot snapshot, Runnable action) {
            return false;
        }
    }
}
