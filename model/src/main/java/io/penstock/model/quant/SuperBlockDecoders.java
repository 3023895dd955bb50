package io.penstock.model.quant;

import io.penstock.model.tensor.DType;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/// Decoders of GGUF's blocks of 256 elements, whose groups have small integers for scales. Products are
/// rounded as llama.cpp rounds them: a group's scale first, then each weight.
final class SuperBlockDecoders {
    private static final int ELEMENTS = 256;

    private SuperBlockDecoders() {}

    /// Bytes of a block: 16 of scales (low nibble) and minima (high nibble), 64 of elements, scale,
    /// scale of the minima.
    static void q2(MemorySegment source, long offset, float[] target, int start, int count) {
        ScalarDecoders.requireWholeBlocks(DType.Q2_K, count);
        long block = offset;
        for (int i = 0; i < count; i += ELEMENTS, block += 84) {
            float scale = ScalarDecoders.half(source, block + 80);
            float minimum = ScalarDecoders.half(source, block + 82);
            for (int j = 0; j < ELEMENTS; j++) {
                int group = u8(source, block + j / 16);
                int element = twoBits(source, block + 16, j);
                target[start + i + j] = scale * (group & 15) * element - minimum * (group >> 4);
            }
        }
    }

    /// Bytes of a block: 32 of third bits, 64 of elements, 12 of scales, scale. A third bit that is 0
    /// takes 4 away.
    static void q3(MemorySegment source, long offset, float[] target, int start, int count) {
        ScalarDecoders.requireWholeBlocks(DType.Q3_K, count);
        long block = offset;
        for (int i = 0; i < count; i += ELEMENTS, block += 110) {
            float scale = ScalarDecoders.half(source, block + 108);
            for (int j = 0; j < ELEMENTS; j++) {
                int third = u8(source, block + j % 32) >> (j / 32) & 1;
                int element = twoBits(source, block + 32, j) - (1 - third) * 4;
                target[start + i + j] = scale * (sixBits(source, block + 96, j / 16) - 32) * element;
            }
        }
    }

    /// Bytes of a block: scale, scale of the minima, 12 of both, 128 of nibbles.
    static void q4(MemorySegment source, long offset, float[] target, int start, int count) {
        ScalarDecoders.requireWholeBlocks(DType.Q4_K, count);
        long block = offset;
        for (int i = 0; i < count; i += ELEMENTS, block += 144) {
            for (int j = 0; j < ELEMENTS; j++) {
                target[start + i + j] = scaled(source, block, j / 32, nibble(source, block + 16, j));
            }
        }
    }

    /// Bytes of a block: as [#q4], with 32 of fifth bits before the nibbles.
    static void q5(MemorySegment source, long offset, float[] target, int start, int count) {
        ScalarDecoders.requireWholeBlocks(DType.Q5_K, count);
        long block = offset;
        for (int i = 0; i < count; i += ELEMENTS, block += 176) {
            for (int j = 0; j < ELEMENTS; j++) {
                int fifth = u8(source, block + 16 + j % 32) >> (j / 32) & 1;
                target[start + i + j] = scaled(source, block, j / 32, nibble(source, block + 48, j) | fifth << 4);
            }
        }
    }

    /// Bytes of a block: 128 of low nibbles, 64 of the two bits above them, 16 signed scales, scale.
    static void q6(MemorySegment source, long offset, float[] target, int start, int count) {
        ScalarDecoders.requireWholeBlocks(DType.Q6_K, count);
        long block = offset;
        for (int i = 0; i < count; i += ELEMENTS, block += 210) {
            float scale = ScalarDecoders.half(source, block + 208);
            for (int j = 0; j < ELEMENTS; j++) {
                // Of each half, 64 bytes hold elements 0 to 63 in their low nibbles, 64 to 127 in their
                // high ones.
                int inHalf = j % 128;
                int low = u8(source, block + j / 128 * 64L + inHalf % 64) >> (inHalf / 64 * 4) & 15;
                int high = twoBits(source, block + 128, j);
                int group = source.get(ValueLayout.JAVA_BYTE, block + 192 + j / 16);
                target[start + i + j] = scale * group * ((low | high << 4) - 32);
            }
        }
    }

    private static float scaled(MemorySegment source, long block, int group, int element) {
        float scale = ScalarDecoders.half(source, block);
        float minimum = ScalarDecoders.half(source, block + 2);
        int ofScale;
        int ofMinimum;
        if (group < 4) {
            ofScale = u8(source, block + 4 + group) & 63;
            ofMinimum = u8(source, block + 8 + group) & 63;
        } else {
            // The low nibbles share a byte, the upper two bits are left over from groups 0 to 3.
            int low = u8(source, block + 8 + group);
            ofScale = (low & 15) | (u8(source, block + group) >> 6 << 4);
            ofMinimum = (low >> 4) | (u8(source, block + 4 + group) >> 6 << 4);
        }
        return scale * ofScale * element - minimum * ofMinimum;
    }

    /// Of 32 bytes, elements 0 to 31 have the low nibbles, 32 to 63 the high ones; and so on.
    private static int nibble(MemorySegment source, long at, int j) {
        return u8(source, at + j / 64 * 32L + j % 32) >> (j / 32 % 2 * 4) & 15;
    }

    /// Of 32 bytes, elements 0 to 31 have the lowest two bits, 32 to 63 the next ones; and so on.
    private static int twoBits(MemorySegment source, long at, int j) {
        return u8(source, at + j / 128 * 32L + j % 32) >> (j / 32 % 4 * 2) & 3;
    }

    /// The `group`th of 16 numbers in 12 bytes: four bits of each in the first eight, two in the last
    /// four.
    private static int sixBits(MemorySegment source, long at, int group) {
        int low = u8(source, at + group % 8) >> (group / 8 * 4) & 15;
        int high = u8(source, at + 8 + group % 4) >> (group / 4 * 2) & 3;
        return low | high << 4;
    }

    private static int u8(MemorySegment source, long at) {
        return Byte.toUnsignedInt(source.get(ValueLayout.JAVA_BYTE, at));
    }
}
