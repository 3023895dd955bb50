package io.penstock.loader.cache;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.loader.source.FileName;
import io.penstock.loader.source.RemoteFile;
import io.penstock.loader.source.Snapshot;
import io.penstock.loader.verify.Checksum;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.zip.CRC32C;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// The tier behind is what a lost node is filled from: nothing may be called right there by its own word alone.
class TestDurableTier {
    private static final int PIECE = 1 << 16;

    private final byte[] content = new byte[2 * PIECE];

    @TempDir
    Path folder;

    private static int crc(byte[] bytes, int offset) {
        CRC32C crc = new CRC32C();
        crc.update(bytes, offset, Math.min(PIECE, bytes.length - offset));
        return (int) crc.getValue();
    }

    private static void fill(CacheDirectory cache, RemoteFile file, byte[] bytes) {
        try (Blob blob = cache.open(file)) {
            for (int piece = 0; piece < 2; piece++) {
                blob.write(ByteBuffer.wrap(bytes, piece * PIECE, PIECE), (long) piece * PIECE);
                blob.markPresent(piece, crc(bytes, piece * PIECE));
            }
            blob.complete();
        }
    }

    /// A piece whose bytes and whose record are wrong alike is found by no reading of pieces.
    @Test
    void whatWasPutRightIsComparedAsAWhole() {
        new Random(5).nextBytes(content);
        CRC32C whole = new CRC32C();
        whole.update(content);
        RemoteFile file = new RemoteFile(
                new FileName("x"),
                content.length,
                "x",
                Optional.empty(),
                Optional.of(new Checksum.Crc32cSum((int) whole.getValue())),
                Optional.empty());
        Snapshot snapshot = new Snapshot("m", "r1", List.of(file));
        byte[] wrong = content.clone();
        wrong[PIECE + 3]++;
        CacheDirectory behind = new CacheDirectory(folder.resolve("durable"), PIECE, false, Duration.ZERO);
        fill(behind, file, wrong);
        Eviction eviction = new Eviction(behind, new SnapshotStore(behind), 0);
        try (CacheDirectory fast = new CacheDirectory(folder.resolve("fast"), PIECE, false, Duration.ZERO);
                DurableTier tier =
                        new DurableTier(behind, eviction, new DurableTier.Policy(true, DurableTier.Demote.COMPLETE))) {
            fill(fast, file, content);
            try (Blob from = fast.open(file)) {
                assertThatThrownBy(() -> tier.mend(snapshot, from, List.of(0)))
                        .isInstanceOfSatisfying(
                                PenstockException.class,
                                failure -> assertThat(failure.category()).isEqualTo(ErrorCategory.CORRUPT))
                        .hasMessageContaining("still not what its source says");
                assertThat(tier.holds(file)).isFalse();
                // All of it is copied anew then.
                assertThat(tier.mend(snapshot, from, List.of(0, 1))).isTrue();
                assertThat(tier.holds(file)).isTrue();
            }
        }
    }
}
