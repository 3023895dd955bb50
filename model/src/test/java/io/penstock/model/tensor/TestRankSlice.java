package io.penstock.model.tensor;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.config.ModelConfig;
import io.penstock.model.config.ModelConfig.Architecture;
import io.penstock.model.config.ModelConfig.RopeLayout;
import io.penstock.model.config.RopeScaling;
import io.penstock.model.tensor.RankSlice.Range;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class TestRankSlice {
    /// SmolLM2-135M's dimensions.
    private static final ModelConfig SMOL = new ModelConfig(
            Architecture.LLAMA,
            30,
            576,
            1536,
            9,
            3,
            64,
            49152,
            8192,
            1e-5,
            100_000,
            RopeLayout.HALVES,
            new RopeScaling.None(),
            false,
            true);

    @Test
    void movesWholeGroupsTogether() {
        RankSlice first = RankSlice.of(SMOL, 0, 2, 0, 1);
        RankSlice second = RankSlice.of(SMOL, 1, 2, 0, 1);
        assertThat(first.kvHeads()).isEqualTo(new Range(0, 2));
        assertThat(first.heads()).isEqualTo(new Range(0, 6));
        assertThat(second.kvHeads()).isEqualTo(new Range(2, 3));
        assertThat(second.heads()).isEqualTo(new Range(6, 9));
        assertThat(first.intermediate()).isEqualTo(new Range(0, 768));
        assertThat(second.vocabulary()).isEqualTo(new Range(24576, 49152));
        assertThat(RankSlice.of(SMOL, 2, 3, 0, 1).heads()).isEqualTo(new Range(6, 9));
    }

    /// Qwen2.5-72B's columns, of which a half is no multiple of 128: a format in groups of as many would be lost.
    @Test
    void cutsNoGroupOfAQuantisedFormatWhereThereAreMany() {
        assertThat(columns(29_568, 2)).containsExactly(new Range(0, 14_848), new Range(14_848, 29_568));
        assertThat(columns(29_568, 8)).allMatch(range -> range.count() % 128 == 0);
        assertThat(columns(29_568, 8).getLast()).isEqualTo(new Range(25_984, 29_568));
        // Few are parted evenly instead.
        assertThat(columns(1_536, 8)).allMatch(range -> range.count() == 192);
    }

    private static List<Range> columns(int intermediate, int ranks) {
        ModelConfig config = new ModelConfig(
                Architecture.QWEN2,
                80,
                8_192,
                intermediate,
                64,
                8,
                128,
                152_064,
                32_768,
                1e-6,
                1e6,
                RopeLayout.HALVES,
                new RopeScaling.None(),
                true,
                false);
        return IntStream.range(0, ranks)
                .mapToObj(rank -> RankSlice.of(config, rank, ranks, 0, 1).intermediate())
                .toList();
    }

    @Test
    void givesEarlierStagesTheExtraLayers() {
        assertThat(RankSlice.of(SMOL, 0, 1, 0, 4).layers()).isEqualTo(new Range(0, 8));
        assertThat(RankSlice.of(SMOL, 0, 1, 1, 4).layers()).isEqualTo(new Range(8, 16));
        assertThat(RankSlice.of(SMOL, 0, 1, 3, 4).layers()).isEqualTo(new Range(23, 30));
        assertThat(RankSlice.of(SMOL, 0, 1, 0, 4).embeds()).isTrue();
        assertThat(RankSlice.of(SMOL, 0, 1, 0, 4).samples()).isFalse();
        assertThat(RankSlice.of(SMOL, 0, 1, 3, 4).samples()).isTrue();
    }

    /// As many ranks as there are key/value heads have one each; more share them, as evenly as they may.
    @Test
    void ranksShareKeyValueHeadsWhereThereAreMoreOfThem() {
        Range[] kvHeads = {new Range(0, 1), new Range(0, 1), new Range(1, 2), new Range(1, 2), new Range(2, 3)};
        Range[] heads = {new Range(0, 2), new Range(2, 3), new Range(3, 5), new Range(5, 6), new Range(6, 9)};
        for (int rank = 0; rank < 5; rank++) {
            RankSlice slice = RankSlice.of(SMOL, rank, 5, 0, 1);
            assertThat(slice.kvHeads()).as("rank %d", rank).isEqualTo(kvHeads[rank]);
            assertThat(slice.heads()).as("rank %d", rank).isEqualTo(heads[rank]);
        }
        for (int rank = 0; rank < 9; rank++) {
            RankSlice slice = RankSlice.of(SMOL, rank, 9, 0, 1);
            assertThat(slice.kvHeads()).isEqualTo(new Range(rank / 3, rank / 3 + 1));
            assertThat(slice.heads()).isEqualTo(new Range(rank, rank + 1));
        }
    }

    @ParameterizedTest
    @CsvSource({
        "0, 10, 0, 1, 'the model has 3 query heads for each key/value head, too few for 4 ranks that have it'",
        "0, 1, 0, 31, the model has 30 layers",
        "2, 2, 0, 1, no tensor-parallel rank 2 of 2",
        "-1, 2, 0, 1, no tensor-parallel rank -1 of 2",
        "0, 0, 0, 1, rank 0 of 0",
        "0, 1, 3, 3, pipeline stage 3 of 3",
    })
    void refusesRanksThatWouldHoldNothing(int rank, int ranks, int stage, int stages, String message) {
        assertThatThrownBy(() -> RankSlice.of(SMOL, rank, ranks, stage, stages))
                .isInstanceOfSatisfying(
                        PenstockException.class, e -> assertThat(e.category()).isEqualTo(ErrorCategory.BAD_INPUT))
                .hasMessageContaining(message);
    }
}
