package io.penstock.shard.backend.cuda;

import io.penstock.shard.backend.cuda.CublasLt.Operands;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/// How a kernel of [StreamedProducts] cuts a product: the constants of its instance in `gemm.cu` or
/// `gemm_widening.cu`.
///
/// @param vectors of an instruction, at most
/// @param blocks of 128 rows of a tile
/// @param depth of a stage: slices of 128 bytes of a row, of int4 granules
record ProductTiling(Operands operands, int vectors, int blocks, int depth) {
    static final int MAX_VECTORS = 128;
    static final int BLOCK_ROWS = 128;
    static final int SLICE_BYTES = TensorMap.BLOCK_BYTES;
    static final int MAX_STAGES = 12;
    /// What a block may have, but for the barriers.
    static final int SHARED_BYTES = 225 * 1024;

    private static final int[] VECTORS = {16, 32, 64, MAX_VECTORS};
    private static final int CONSUMERS = 256;
    private static final int WARP = 32;
    // What swizzled boxes must begin at.
    private static final int ALIGNMENT = 1024;

    /// Of all instances that there are.
    static final List<ProductTiling> ALL = Stream.of(Operands.values())
            .flatMap(operands -> IntStream.of(VECTORS).mapToObj(vectors -> of(operands, vectors)))
            .toList();

    /// @param vectors at most [#MAX_VECTORS]
    static ProductTiling of(Operands operands, int vectors) {
        int most = IntStream.of(VECTORS)
                .filter(each -> each >= vectors)
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException("%d vectors are too many".formatted(vectors)));
        if (!operands.widened()) {
            return new ProductTiling(operands, most, 1, most == MAX_VECTORS ? 1 : 2);
        }
        // Two blocks of rows share vectors that are about as many bytes as they are.
        return most == VECTORS[0] ? new ProductTiling(operands, most, 1, 2) : new ProductTiling(operands, most, 2, 1);
    }

    int rows() {
        return blocks * BLOCK_ROWS;
    }

    /// Slices of 128 bytes of a stage's vectors.
    int vectorSlices() {
        return operands.widened() ? 2 * depth : depth;
    }

    int stageBytes() {
        return weightBytes() + vectors * vectorSlices() * SLICE_BYTES;
    }

    private int weightBytes() {
        if (operands.weights().hasRows()) {
            return rows() * depth * SLICE_BYTES;
        }
        int bytes = rows() / WeightFormat.TILE * depth * WeightFormat.INT4_ZEROS.granuleBytes();
        return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }

    int stages() {
        return Math.min(MAX_STAGES, SHARED_BYTES / stageBytes());
    }

    int sharedBytes() {
        return stages() * stageBytes();
    }

    /// Of a block: two groups of four warps that multiply, and a warp that copies; where weights are widened,
    /// that one's group too, so that it can hand its registers over.
    int threads() {
        return CONSUMERS + (operands.widened() ? 4 * WARP : WARP);
    }

    /// Name of the `.cu` file.
    String source() {
        return operands.widened() ? "gemm_widening" : "gemm";
    }

    /// Name of the function.
    String kernel() {
        String kind = switch (operands) {
            case BF16 -> "gemmBf16_";
            case FP8 -> "gemmE4m3_";
            case FP8_ROWS_BF16, FP8_BLOCKS_BF16 -> "gemmWideE4m3_";
            case INT4_BF16, INT4_ZEROS_BF16 -> "gemmWideInt4_";
        };
        return kind + vectors;
    }
}
