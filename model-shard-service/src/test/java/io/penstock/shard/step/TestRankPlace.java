package io.penstock.shard.step;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.model.PenstockException;
import java.util.HashSet;
import java.util.OptionalInt;
import java.util.Set;
import org.junit.jupiter.api.Test;

/// The pods of a StatefulSet know their number alone; each must become a rank of its own.
final class TestRankPlace {
    @Test
    void everyNumberOfAGroupIsAnotherPlace() {
        Set<String> places = new HashSet<>();
        for (int number = 0; number < 6; number++) {
            places.add(place(number).toString());
        }
        assertThat(places).hasSize(6).contains("rank 2/3 of stage 1/2, group g");
        assertThat(place(1)).extracting(RankPlace::tpRank, RankPlace::ppStage).containsExactly(1, 0);
    }

    @Test
    void aNumberBeyondTheGroupIsRefused() {
        assertThatThrownBy(() -> place(6)).isInstanceOf(PenstockException.class).hasMessageContaining("pp-stage is 2");
        assertThatThrownBy(() -> place(-1))
                .isInstanceOf(PenstockException.class)
                .hasMessageContaining("pp-stage is -1");
    }

    private static RankPlace place(int number) {
        OptionalInt rank = OptionalInt.of(number);
        return new RankPlace(
                "g",
                "m",
                RankPlace.tpRank(rank, 3).getAsInt(),
                3,
                RankPlace.ppStage(rank, 3).getAsInt(),
                2,
                8,
                64);
    }
}
