package io.penstock.scheduler.group;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

/// A rank that reloads weights it already holds turns a recovery of seconds into one of minutes.
final class TestLayerRanges {
    private static final int[] NONE = {-1, -1, -1};

    @Test
    void earlierStagesTakeTheExtraLayers() {
        assertThat(LayerRanges.partition(11, NONE, new int[3])).containsExactly(0, 4, 8, 11);
        assertThat(LayerRanges.partition(30, new int[] {-1}, new int[1])).containsExactly(0, 30);
        assertThat(LayerRanges.partition(3, NONE, new int[3])).containsExactly(0, 1, 2, 3);
    }

    @Test
    void stagesKeepWhatTheyHold() {
        assertThat(LayerRanges.partition(30, new int[] {-1, 10, -1}, new int[] {0, 5, 0}))
                .containsExactly(0, 10, 15, 30);
        assertThat(LayerRanges.partition(30, new int[] {-1, -1, 12}, new int[] {0, 0, 18}))
                .containsExactly(0, 6, 12, 30);
        assertThat(LayerRanges.partition(30, new int[] {0, 3, 6}, new int[] {3, 3, 24}))
                .containsExactly(0, 3, 6, 30);
    }

    @Test
    void whatDoesNotFitTogetherIsLoadedAnew() {
        // Overlap, a gap, a first stage that does not begin at 0, no layer left for one.
        assertThat(LayerRanges.partition(9, new int[] {0, 4, -1}, new int[] {5, 2, 0}))
                .containsExactly(0, 3, 6, 9);
        assertThat(LayerRanges.partition(9, new int[] {0, 4, -1}, new int[] {3, 2, 0}))
                .containsExactly(0, 3, 6, 9);
        assertThat(LayerRanges.partition(9, new int[] {2, -1, -1}, new int[] {3, 0, 0}))
                .containsExactly(0, 3, 6, 9);
        assertThat(LayerRanges.partition(9, new int[] {0, -1, -1}, new int[] {9, 0, 0}))
                .containsExactly(0, 3, 6, 9);
        assertThat(LayerRanges.partition(9, new int[] {5, -1, 2}, new int[] {3, 0, 7}))
                .containsExactly(0, 3, 6, 9);
    }
}
