package io.penstock.model.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.model.config.ModelConfig;
import io.penstock.model.config.ModelConfig.Architecture;
import io.penstock.model.tensor.DType;
import io.penstock.model.tensor.Shape;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class TestFusedTensors {
    private static final ModelConfig TINY = TinyCheckpoints.config(Architecture.LLAMA, false);
    private static final String ATTENTION = "model.layers.1.self_attn.qkv_proj.weight";

    @Test
    void eachMatrixIsATensorFurtherOnInTheFile() {
        long queries = (long) TINY.heads() * TINY.headSize();
        long rows = queries + 2L * TINY.kvSize();
        List<TensorLocation> parted = FusedTensors.part(List.of(fused(rows)), TINY);
        assertThat(parted)
                .extracting(TensorLocation::name)
                .containsExactly(
                        "model.layers.1.self_attn.q_proj.weight",
                        "model.layers.1.self_attn.k_proj.weight",
                        "model.layers.1.self_attn.v_proj.weight");
        long row = 2L * TINY.hiddenSize();
        assertThat(parted)
                .extracting(TensorLocation::offset)
                .containsExactly(1000L, 1000 + queries * row, 1000 + (queries + TINY.kvSize()) * row);
        assertThat(parted.stream().mapToLong(TensorLocation::length).sum()).isEqualTo(rows * row);
    }

    @ParameterizedTest
    @ValueSource(ints = {-1, 1})
    void otherRowsThanTheConfigurationImpliesAreRefused(int off) {
        long rows = (long) TINY.heads() * TINY.headSize() + 2L * TINY.kvSize() + off;
        assertThatThrownBy(() -> FusedTensors.part(List.of(fused(rows)), TINY))
                .isInstanceOf(CheckpointException.class)
                .hasMessageContaining(ATTENTION)
                .hasMessageContaining(rows - off + " rows");
    }

    private static TensorLocation fused(long rows) {
        Shape shape = Shape.of(rows, TINY.hiddenSize());
        return new TensorLocation(
                ATTENTION, DType.BF16, shape, Path.of("model.safetensors"), 1000, 2 * rows * TINY.hiddenSize());
    }
}
