package io.penstock.cli.cluster;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.cli.CommandFailure;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/// Ranks of a local cluster that share a GPU must all fit on it.
final class TestRankSettings {
    @Test
    void ranksTakeDevicesInTurnAndShareTheirMemory() {
        RankSettings settings = new RankSettings("cuda", List.of(2, 5), Map.of("penstock.shard.max-sequences", "8"));
        assertThat(settings.of(0, 4))
                .containsEntry("penstock.shard.backend", "cuda")
                .containsEntry("penstock.shard.device", "2")
                .containsEntry("penstock.shard.gpu-memory-share", "0.450")
                .containsEntry("penstock.shard.max-sequences", "8");
        assertThat(settings.of(3, 4)).containsEntry("penstock.shard.device", "5");
        assertThat(settings.of(1, 2)).containsEntry("penstock.shard.gpu-memory-share", "0.900");
    }

    @Test
    void whatNoRankUnderstandsIsRefusedAtOnce() {
        assertThatThrownBy(() -> new RankSettings("gpu", List.of(0), Map.of()))
                .isInstanceOf(CommandFailure.class)
                .hasMessageContaining("[auto, cpu, cuda]");
        assertThatThrownBy(() -> new RankSettings("cuda", List.of(), Map.of())).isInstanceOf(CommandFailure.class);
        assertThatThrownBy(() -> new RankSettings("cuda", List.of(-1), Map.of()))
                .isInstanceOf(CommandFailure.class);
    }
}
