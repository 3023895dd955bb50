package io.penstock.shard.sampling;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import org.junit.jupiter.api.Test;

/// If these fail, a resumed stream no longer continues as it would have.
class TestPhilox {
    // Known answers published with the Random123 library, philox4x32 of 10 rounds; words 0 and 1.
    @Test
    void matchesThePublishedVectors() {
        assertThat(Philox.bits(0, 0, 0)).isEqualTo(0xe169c58d6627e8d5L);
        assertThat(Philox.bits(-1, -1, -1)).isEqualTo(0x41c83b0e408f276dL);
        assertThat(Philox.bits(0x85a308d3243f6a88L, 0x0370734413198a2eL, 0x299f31d0a4093822L))
                .isEqualTo(0x94fdccebd16cfe09L);
    }

    @Test
    void isUniformOverPositionsAndSeeds() {
        int draws = 100_000;
        double overPositions = 0;
        double overSeeds = 0;
        int[] tenths = new int[10];
        for (int i = 0; i < draws; i++) {
            double u = Philox.uniform(42, i);
            assertThat(u).isBetween(0.0, Math.nextDown(1.0));
            tenths[(int) (10 * u)]++;
            overPositions += u;
            overSeeds += Philox.uniform(i, 7);
        }
        // Standard error of the mean is 0.0009, of a tenth 95.
        assertThat(overPositions / draws).isCloseTo(0.5, within(0.005));
        assertThat(overSeeds / draws).isCloseTo(0.5, within(0.005));
        for (int tenth : tenths) {
            assertThat(tenth).isBetween(9_500, 10_500);
        }
    }
}
