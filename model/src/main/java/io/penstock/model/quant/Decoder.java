package io.penstock.model.quant;

import io.penstock.model.tensor.DType;
import java.lang.foreign.MemorySegment;

/// Turns stored elements into floats, one after the other: the definition that every faster reading must equal, bit for
/// bit. All formats are little-endian; the quantised ones are those of github.com/ggml-org/ggml, src/ggml-common.h.
@FunctionalInterface
public interface Decoder {
    /// @param source holds the blocks
    /// @param offset of the first block, in bytes
    /// @param target receives the floats
    /// @param start of the first in `target`
    /// @param count elements, a whole number of blocks
    void decode(MemorySegment source, long offset, float[] target, int start, int count);

    static Decoder of(DType dtype) {
        return switch (dtype) {
            case F32 -> ScalarDecoders::f32;
            case F16 -> ScalarDecoders::f16;
            case BF16 -> ScalarDecoders::bf16;
            case Q8_0 -> ScalarDecoders::q8_0;
            case Q4_0 -> ScalarDecoders::q4_0;
            case Q4_1 -> ScalarDecoders::q4_1;
        };
    }
}
