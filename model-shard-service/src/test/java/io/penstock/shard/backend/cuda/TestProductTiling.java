package io.penstock.shard.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.shard.backend.cuda.CublasLt.Extents;
import io.penstock.shard.backend.cuda.CublasLt.Operands;
import io.penstock.shard.backend.cuda.CublasLt.Outputs;
import org.junit.jupiter.api.Test;

/// What no GPU is needed for to see that a product cannot run: too much shared memory, boxes that the copy engine
/// refuses.
class TestProductTiling {
    @Test
    void stagesFitIntoABlockAndBeginWhereBoxesMay() {
        assertThat(ProductTiling.ALL).hasSize(4 * Operands.values().length);
        for (ProductTiling tiling : ProductTiling.ALL) {
            assertThat(tiling.stageBytes() % 1_024).as("%s", tiling).isZero();
            assertThat(tiling.sharedBytes()).as("%s", tiling).isLessThanOrEqualTo(225 * 1_024);
            // One that is multiplied, one that arrives, one on its way.
            assertThat(tiling.stages()).as("%s", tiling).isGreaterThanOrEqualTo(3);
        }
    }

    @Test
    void boxesHaveNoMoreElementsThanTheCopyEngineTakes() {
        for (ProductTiling tiling : ProductTiling.ALL) {
            WeightFormat weights = tiling.operands().weights();
            assertThat(tiling.rows()).isLessThanOrEqualTo(256);
            if (!weights.hasRows()) {
                assertThat(weights.granuleBytes() / Long.BYTES).isLessThanOrEqualTo(256);
                assertThat(weights.granuleBytes() % 16).isZero();
            }
        }
    }

    @Test
    void enoughBytesAreOnTheirWayForTheMemory() {
        for (ProductTiling tiling : ProductTiling.ALL) {
            int vectors = tiling.vectors() * tiling.vectorSlices() * ProductTiling.SLICE_BYTES;
            // 4.6 TB/s, 132 blocks, a microsecond.
            assertThat(tiling.stages() * (tiling.stageBytes() - vectors))
                    .as("%s", tiling)
                    .isGreaterThan(35_000);
        }
    }

    @Test
    void aTilingTakesAllVectorsAndNoMoreThanItMust() {
        for (Operands operands : Operands.values()) {
            for (int vectors = 1; vectors <= 128; vectors++) {
                assertThat(ProductTiling.of(operands, vectors).vectors())
                        .isGreaterThanOrEqualTo(vectors)
                        .isLessThan(Math.max(17, 2 * vectors));
            }
            assertThatThrownBy(() -> ProductTiling.of(operands, 129)).isInstanceOf(IllegalArgumentException.class);
        }
    }

    @Test
    void productsOfEveryFormatAreServedUpTo128Vectors() {
        for (WeightFormat format : WeightFormat.values()) {
            Operands operands = Operands.of(format);
            assertThat(operands.weights()).isEqualTo(format);
            assertThat(StreamedProducts.serves(extents(operands, 37_888, 3_584, 128, Outputs.ACTIVATED)))
                    .isTrue();
            assertThat(StreamedProducts.serves(extents(operands, 1_000, 3_584, 9, Outputs.SUM)))
                    .isTrue();
            assertThat(StreamedProducts.serves(extents(operands, 1_000, 3_584, 129, Outputs.SUM)))
                    .isFalse();
            assertThat(StreamedProducts.serves(extents(operands, 1_000, 3_584, 9, Outputs.BF16)))
                    .isFalse();
            assertThat(StreamedProducts.serves(extents(operands, 1_000, 3_584, 9, Outputs.ACTIVATED)))
                    .isFalse();
            assertThat(StreamedProducts.serves(extents(operands, 1_000, 3_584 + 32, 9, Outputs.SUM)))
                    .isFalse();
        }
    }

    @Test
    void gatesAndUpsOfManyVectorsAreServedAsBf16() {
        assertThat(GatedProducts.serves(extents(Operands.BF16, 37_888, 3_584, 129, Outputs.ACTIVATED)))
                .isTrue();
        assertThat(GatedProducts.serves(extents(Operands.BF16, 37_888, 3_584, 128, Outputs.ACTIVATED)))
                .isFalse();
        assertThat(GatedProducts.serves(extents(Operands.BF16, 37_888, 3_584, 129, Outputs.F32)))
                .isFalse();
        assertThat(GatedProducts.serves(extents(Operands.BF16, 37_896, 3_584, 129, Outputs.ACTIVATED)))
                .isFalse();
        assertThat(GatedProducts.serves(extents(Operands.BF16, 37_888, 3_584 + 32, 129, Outputs.ACTIVATED)))
                .isFalse();
        assertThat(GatedProducts.serves(extents(Operands.FP8, 37_888, 3_584, 129, Outputs.ACTIVATED)))
                .isFalse();
    }

    private static Extents extents(Operands operands, int rows, int columns, int vectors, Outputs outputs) {
        return new Extents(rows, columns, vectors, rows, operands, outputs);
    }
}
