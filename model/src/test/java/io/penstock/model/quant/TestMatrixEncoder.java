package io.penstock.model.quant;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.model.tensor.DType;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/// An 8-bit float that is not the nearest is error that no one asked for.
class TestMatrixEncoder {
    private static final float[] VALUES = values();

    private static float[] values() {
        byte[] codes = new byte[256];
        for (int code = 0; code < codes.length; code++) {
            codes[code] = (byte) code;
        }
        float[] values = new float[256];
        Decoder.of(DType.F8_E4M3).decode(MemorySegment.ofArray(codes), 0, values, 0, 256);
        return values;
    }

    @Test
    void everyCodeIsItsOwn() {
        for (int code = 0; code < 256; code++) {
            if (!Float.isNaN(VALUES[code])) {
                assertThat(MatrixEncoder.e4m3(VALUES[code])).isEqualTo((byte) code);
            }
        }
        assertThat(MatrixEncoder.e4m3(1e9f)).isEqualTo((byte) 0x7E);
        assertThat(MatrixEncoder.e4m3(-1e9f)).isEqualTo((byte) 0xFE);
    }

    @Test
    void everyNumberGetsTheNearestCode() {
        SplittableRandom random = new SplittableRandom(5);
        for (int round = 0; round < 20_000; round++) {
            float value = (float) Math.scalb(random.nextDouble(-1, 1), random.nextInt(-12, 10));
            value = Math.clamp(value, -448f, 448f);
            float nearest = Float.POSITIVE_INFINITY;
            for (float candidate : VALUES) {
                // NaN is never nearer.
                if (Math.abs(candidate - value) < Math.abs(nearest - value)) {
                    nearest = candidate;
                }
            }
            float encoded = VALUES[MatrixEncoder.e4m3(value) & 0xFF];
            assertThat(Math.abs(encoded - value)).as("%s", value).isEqualTo(Math.abs(nearest - value));
        }
        // Half-way: to even.
        assertThat(VALUES[MatrixEncoder.e4m3(17) & 0xFF]).isEqualTo(16);
        assertThat(VALUES[MatrixEncoder.e4m3(19) & 0xFF]).isEqualTo(20);
        assertThat(VALUES[MatrixEncoder.e4m3(0x1p-10f) & 0xFF]).isZero();
        assertThat(VALUES[MatrixEncoder.e4m3(3 * 0x1p-10f) & 0xFF]).isEqualTo(0x1p-8f);
    }

    @Test
    void whatIsNotWrittenIsRefused() {
        assertThatThrownBy(() -> new MatrixEncoder(WeightFormat.Scaled.PER_TENSOR, 128, DType.F32))
                .hasMessageContaining("is not written");
    }

    /// Rows of nothing but zeros have no scale to divide by; scales that F16 cannot hold become 0.
    @Test
    void zerosStayZeros() {
        for (float weight : new float[] {0, -0f, 1e-9f}) {
            for (WeightFormat format : new WeightFormat[] {MatrixEncoder.INT4, MatrixEncoder.FLOAT8}) {
                float[] weights = new float[128];
                java.util.Arrays.fill(weights, weight);
                ByteBuffer payload = ByteBuffer.allocate(128).order(java.nio.ByteOrder.LITTLE_ENDIAN);
                ByteBuffer scales = ByteBuffer.allocate(2);
                new MatrixEncoder(format, 128, DType.F16).encode(weights, 1, payload, scales);
                assertThat(scales.getShort(0)).isZero();
                assertThat(payload.getInt(0)).isEqualTo(format instanceof WeightFormat.Grouped ? 0x88888888 : 0);
            }
        }
    }
}
