package io.penstock.shard.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class TestWeightFormat {
    @Test
    void bytesOfAMatrixAreThoseOfItsLayout() {
        assertThat(WeightFormat.BF16.bytes(3_584, 18_944)).isEqualTo(2L * 3_584 * 18_944);
        assertThat(WeightFormat.FP8_ROWS.bytes(3_584, 18_944)).isEqualTo(3_584L * 18_944);
        assertThat(WeightFormat.FP8_ROWS.scaleBytes(3_585, 128)).isEqualTo(4L * 3_600);
        // 37 granules, padded to pairs; two scales a tile and granule.
        assertThat(WeightFormat.FP8_BLOCKS.scaleBytes(32, 37 * 128)).isEqualTo(8L * 2 * 38);
        // 4 bits a weight and 16 bits a group of 128.
        assertThat(WeightFormat.INT4.bytes(16, 256)).isEqualTo(2L * (16 * 64 + 16 * 2));
        assertThat(WeightFormat.INT4_ZEROS.bytes(17, 128)).isEqualTo(2L * (16 * 64 + 16 * 2 + 16));
    }

    @Test
    void groupsMustBeWhole() {
        assertThat(WeightFormat.BF16.serves(96)).isTrue();
        assertThat(WeightFormat.INT4.serves(96)).isFalse();
        assertThat(WeightFormat.FP8_BLOCKS.serves(384)).isTrue();
    }

    @Test
    void aSlotHoldsWhatATileIsCutInto() {
        for (WeightFormat format : WeightFormat.values()) {
            for (int columns = 128; columns <= 65_536; columns += 128) {
                int granules = columns / 128;
                int cuts = format.cuts(columns);
                int widest = (granules + cuts - 1) / cuts;
                long bytes = format.bytes(16, widest * 128);
                assertThat(bytes).as("%s, %d columns", format, columns).isLessThanOrEqualTo(format.slotBytes());
                assertThat(format.columnsOfTwo(columns))
                        .isEqualTo(Math.min(columns, 2 * widest * 128))
                        .isLessThanOrEqualTo(128 * DecodeKernel.MAX_GRANULES);
            }
        }
    }

    @Test
    void nearestFp8IsTheNearerAndOfTwoTheEven() {
        assertThat(ScalarFormats.nearestFp8(1.0f)).isEqualTo(1.0f);
        // Steps of an eighth from 1 on: 1.0625 lies between 1 (even) and 1.125.
        assertThat(ScalarFormats.nearestFp8(1.0625f)).isEqualTo(1.0f);
        assertThat(ScalarFormats.nearestFp8(1.1875f)).isEqualTo(1.25f);
        assertThat(ScalarFormats.nearestFp8(-500f)).isEqualTo(-448f);
        assertThat(ScalarFormats.nearestFp8(0x1p-9f)).isEqualTo(0x1p-9f);
        assertThat(ScalarFormats.nearestFp8(0x1p-10f)).isZero();
    }

    @Test
    void int4KeepsAGroupsEnds() {
        float[] values = new float[16 * 128];
        for (int i = 0; i < values.length; i++) {
            values[i] = i % 16;
        }
        assertThat(ScalarFormats.roundTrip(WeightFormat.INT4_ZEROS, values, 16, 128, false))
                .isEqualTo(values);
        for (int i = 0; i < values.length; i++) {
            values[i] = i % 15 - 7;
        }
        assertThat(ScalarFormats.roundTrip(WeightFormat.INT4, values, 16, 128, false))
                .isEqualTo(values);
    }
}
