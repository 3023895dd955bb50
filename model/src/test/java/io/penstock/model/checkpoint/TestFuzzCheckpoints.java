package io.penstock.model.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import io.penstock.model.config.ModelConfig;
import io.penstock.model.config.ModelConfig.Architecture;
import io.penstock.model.tensor.DType;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Random damage to real files: they are read or refused, within a bound of memory, and nothing else ever happens.
class TestFuzzCheckpoints {
    private static final ModelConfig TINY = TinyCheckpoints.config(Architecture.QWEN2, true);
    private static final int ROUNDS = 2_500;

    @TempDir
    private Path folder;

    @Test
    void gguf() {
        GgufWriter writer = TinyCheckpoints.gguf(TINY, DType.Q8_0, 5);
        byte[] file = writer.toBytes();
        int head = writer.fields().getLast().offset() + Long.BYTES;
        fuzz(file, head, damaged -> {
            GgufCheckpoint checkpoint =
                    GgufCheckpoint.parse(MemorySegment.ofArray(damaged), damaged.length, "fuzzed.gguf");
            GgufMetadata metadata = checkpoint.metadata();
            metadata.tokens().forEach(token -> assertThat(token).isNotNull());
            assertThat(metadata.merges()).isNotNull();
            assertThat(metadata.tokenTypes()).isNotNull();
            assertThat(metadata.chatTemplate()).isNotNull();
        });
    }

    @Test
    void safetensors() throws IOException {
        TinyCheckpoints.writeFolder(folder, TINY, DType.BF16, 1, 5);
        byte[] file = Files.readAllBytes(folder.resolve("model.safetensors"));
        int head = Math.toIntExact(
                8 + ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN).getLong());
        fuzz(
                file,
                head,
                damaged -> SafetensorsHead.parse(MemorySegment.ofArray(damaged), damaged.length, "fuzzed.safetensors"));
    }

    @Test
    void config() throws IOException {
        TinyCheckpoints.writeFolder(folder, TINY, DType.BF16, 1, 5);
        byte[] file = Files.readAllBytes(folder.resolve("config.json"));
        fuzz(file, file.length, damaged -> {
            assertThat(HuggingFaceConfig.read(MemorySegment.ofArray(damaged)).heads())
                    .isPositive();
        });
    }

    /// @param head bytes that are damaged; weights are not looked at
    private static void fuzz(byte[] sound, int head, Consumer<byte[]> read) {
        read.accept(sound);
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        int refused = 0;
        for (int seed = 0; seed < ROUNDS; seed++) {
            byte[] damaged = damage(sound, head, new SplittableRandom(seed));
            long before = threads.getCurrentThreadAllocatedBytes();
            try {
                read.accept(damaged);
            } catch (CheckpointException e) {
                assertThat(e).as("seed %d", seed).isNotInstanceOf(HeadTooShortException.class);
                refused++;
            } catch (RuntimeException | StackOverflowError | OutOfMemoryError e) {
                throw new AssertionError("seed " + seed, e);
            }
            assertThat(threads.getCurrentThreadAllocatedBytes() - before)
                    .as("bytes allocated, seed %d", seed)
                    .isLessThan(2L * damaged.length + (16 << 20));
        }
        // Else the damage never reached the parser.
        assertThat(refused).isGreaterThan(ROUNDS / 4);
    }

    private static byte[] damage(byte[] sound, int head, SplittableRandom random) {
        byte[] file = sound.clone();
        int changes = 1 + random.nextInt(4);
        for (int i = 0; i < changes; i++) {
            int at = random.nextInt(head);
            switch (random.nextInt(6)) {
                case 0 -> file[at] = (byte) random.nextInt();
                case 1 -> file[at] ^= (byte) (1 << random.nextInt(8));
                case 2 -> Arrays.fill(file, at, Math.min(head, at + 1 + random.nextInt(8)), (byte) 0xff);
                case 3 -> Arrays.fill(file, at, Math.min(head, at + 1 + random.nextInt(8)), (byte) 0);
                case 4 -> {
                    // A piece of it copied elsewhere.
                    int length = Math.min(1 + random.nextInt(64), head - at);
                    System.arraycopy(sound, random.nextInt(head - length + 1), file, at, length);
                }
                case 5 -> {
                    byte[] digits = Long.toString(random.nextLong()).getBytes(java.nio.charset.StandardCharsets.UTF_8);
                    System.arraycopy(digits, 0, file, at, Math.min(digits.length, head - at));
                }
                default -> throw new AssertionError();
            }
        }
        return random.nextInt(8) == 0 ? Arrays.copyOf(file, random.nextInt(file.length)) : file;
    }
}
