package io.penstock.model.quant;

import io.penstock.model.tensor.DType;
import java.lang.foreign.MemorySegment;

/// Turns stored elements into floats, one after the other: the definition that every faster reading
/// must equal, bit for bit. All formats are little-endian; the quantised ones are those of
/// github.com/ggml-org/ggml, src/ggml-common.h.
@FunctionalInterface
public interface Decoder {
    /// @param source holds the blocks
    /// @param offset of the first block, in bytes
    /// @param target receives the floats
    /// @param start of the first in `target`
    /// @param count elements, a whole number of blocks
    void decode(MemorySegment source, long offset, float[] target, int start, int count);

    /// @throws IllegalArgumentException if elements of the type are no numbers
    static Decoder of(DType dtype) {
        return switch (dtype) {
            case F32 -> ScalarDecoders::f32;
            case F16 -> ScalarDecoders::f16;
            case BF16 -> ScalarDecoders::bf16;
            case Q8_0 -> ScalarDecoders::q8_0;
            case Q4_0 -> ScalarDecoders::q4_0;
            case Q4_1 -> ScalarDecoders::q4_1;
            case Q5_0 -> ScalarDecoders::q5_0;
            case Q5_1 -> ScalarDecoders::q5_1;
            case Q2_K -> SuperBlockDecoders::q2;
            case Q3_K -> SuperBlockDecoders::q3;
            case Q4_K -> SuperBlockDecoders::q4;
            case Q5_K -> SuperBlockDecoders::q5;
            case Q6_K -> SuperBlockDecoders::q6;
            case F8_E4M3 -> ScalarDecoders::f8e4m3;
            case F8_E5M2 -> ScalarDecoders::f8e5m2;
            case I8 -> ScalarDecoders::i8;
            case U8, I32, I64 -> throw new IllegalArgumentException(dtype + " elements are codes, not numbers");
        };
    }
}
