package io.penstock.model.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.model.tensor.DType;
import io.penstock.model.tensor.Shape;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.Test;

/// Each expert is read where it lies in the stack of all; a rank that read another's would answer, wrongly.
class TestStackedTensors {
    private static TensorLocation tensor(String name, DType dtype, Shape shape, long offset) {
        return new TensorLocation(name, dtype, shape, Path.of("x.gguf"), offset, dtype.bytesFor(shape));
    }

    @Test
    void expertsFollowOneAnother() {
        List<TensorLocation> parted = StackedTensors.part(
                List.of(tensor("blk.3.ffn_down_exps.weight", DType.Q8_0, Shape.of(4, 10, 64), 1_000)), 4);
        // A row of 64 is two blocks of 34 bytes.
        assertThat(parted)
                .containsExactly(
                        tensor("blk.3.ffn_down_exps.0.weight", DType.Q8_0, Shape.of(10, 64), 1_000),
                        tensor("blk.3.ffn_down_exps.1.weight", DType.Q8_0, Shape.of(10, 64), 1_680),
                        tensor("blk.3.ffn_down_exps.2.weight", DType.Q8_0, Shape.of(10, 64), 2_360),
                        tensor("blk.3.ffn_down_exps.3.weight", DType.Q8_0, Shape.of(10, 64), 3_040));
    }

    @Test
    void headsAreRowsOfOneMatrix() {
        TensorLocation plain = tensor("blk.0.attn_q.weight", DType.F16, Shape.of(8, 16), 5_000);
        assertThat(StackedTensors.part(
                        List.of(tensor("blk.0.attn_k_b.weight", DType.F16, Shape.of(4, 32, 16), 96), plain), 0))
                .containsExactly(tensor("blk.0.attn_k_b.weight", DType.F16, Shape.of(128, 16), 96), plain);
    }

    @Test
    void otherExpertsThanTheConfigurationsAreRefused() {
        TensorLocation stack = tensor("blk.0.ffn_up_exps.weight", DType.F16, Shape.of(8, 1, 1), 0);
        assertThatThrownBy(() -> StackedTensors.part(List.of(stack), 4))
                .isInstanceOf(CheckpointException.class)
                .hasMessageContaining("blk.0.ffn_up_exps.weight: has 8 experts, the configuration says 4");
    }

    /// A short file must not make a long list.
    @Test
    void moreExpertsThanAnyModelHasAreRefused() {
        TensorLocation stack = tensor("blk.0.ffn_up_exps.weight", DType.F16, Shape.of(10_000, 1, 1), 0);
        assertThatThrownBy(() -> StackedTensors.part(Collections.nCopies(30, stack), 10_000))
                .isInstanceOf(CheckpointException.class)
                .hasMessageContaining("makes more than 262144 tensors");
    }
}
