package io.penstock.shard.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// A byte in the wrong place is a wrong weight.
final class TestPieceReader {
    private static final int SIZE = 9 << 20;

    @TempDir
    private Path folder;

    @Test
    void everyByteIsWhereItBelongs() throws IOException {
        byte[] content = new byte[SIZE];
        new Random(3).nextBytes(content);
        Path file = Files.write(folder.resolve("weights"), content);
        try (PieceReader reader = new PieceReader()) {
            for (int[] range : new int[][] {{0, SIZE}, {1, SIZE - 1}, {5_000_001, 3_333_333}, {7, 1}, {SIZE - 2, 2}}) {
                ByteBuffer to =
                        ByteBuffer.allocateDirect(range[1] + 10).position(3).limit(3 + range[1]);
                reader.read(file, range[0], to);
                byte[] read = new byte[range[1]];
                to.get(3, read);
                assertThat(Arrays.equals(read, 0, range[1], content, range[0], range[0] + range[1]))
                        .as(Arrays.toString(range))
                        .isTrue();
            }
        }
    }

    @Test
    void aFileThatEndsEarlyIsNamed() throws IOException {
        Path file = Files.write(folder.resolve("short"), new byte[3 << 20]);
        try (PieceReader reader = new PieceReader()) {
            assertThatThrownBy(() -> reader.read(file, 1, ByteBuffer.allocateDirect(3 << 20)))
                    .isInstanceOfSatisfying(
                            PenstockException.class,
                            e -> assertThat(e.category()).isEqualTo(ErrorCategory.CORRUPT))
                    .hasMessageContaining("short ends early");
            assertThatThrownBy(() -> reader.read(folder.resolve("none"), 0, ByteBuffer.allocate(1)))
                    .isInstanceOfSatisfying(
                            PenstockException.class,
                            e -> assertThat(e.category()).isEqualTo(ErrorCategory.UNAVAILABLE));
        }
    }
}
