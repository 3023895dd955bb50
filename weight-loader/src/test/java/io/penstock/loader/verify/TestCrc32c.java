package io.penstock.loader.verify;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Random;
import java.util.zip.CRC32C;
import org.junit.jupiter.api.Test;

/// A whole object's checksum is put together from its pieces': a mistake here publishes or refuses the
/// wrong files.
class TestCrc32c {
    @Test
    void combinesAnySplitToTheChecksumOfTheWhole() {
        Random random = new Random(11);
        for (int round = 0; round < 300; round++) {
            byte[] bytes = new byte[random.nextInt(5000)];
            random.nextBytes(bytes);
            int cut = random.nextInt(bytes.length + 1);
            int combined = Crc32c.combine(sum(bytes, 0, cut), sum(bytes, cut, bytes.length - cut), bytes.length - cut);
            assertThat(combined).isEqualTo(sum(bytes, 0, bytes.length));
        }
    }

    @Test
    void lengthsBeyondAnIntegerAreLinear() {
        long length = (5L << 32) + 12_345;
        int sum = 0x1234_5678;
        int halves = Crc32c.combine(Crc32c.combine(sum, 0, length / 2), 0, length - length / 2);
        assertThat(Crc32c.combine(sum, 0, length)).isEqualTo(halves);
        assertThat(Crc32c.combine(sum, 7, 0)).isEqualTo(sum ^ 7);
    }

    private static int sum(byte[] bytes, int offset, int length) {
        CRC32C crc = new CRC32C();
        crc.update(bytes, offset, length);
        return (int) crc.getValue();
    }
}
