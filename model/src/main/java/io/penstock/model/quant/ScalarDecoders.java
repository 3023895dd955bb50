package io.penstock.model.quant;

import io.penstock.model.tensor.DType;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/// The decoders, one element at a time.
final class ScalarDecoders {
    private static final ValueLayout.OfShort SHORT =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfFloat FLOAT =
            ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private ScalarDecoders() {}

    static void f32(MemorySegment source, long offset, float[] target, int start, int count) {
        MemorySegment.copy(source, FLOAT, offset, target, start, count);
    }

    static void f16(MemorySegment source, long offset, float[] target, int start, int count) {
        for (int i = 0; i < count; i++) {
            target[start + i] = half(source, offset + (long) i * Short.BYTES);
        }
    }

    static void bf16(MemorySegment source, long offset, float[] target, int start, int count) {
        for (int i = 0; i < count; i++) {
            target[start + i] = Float.intBitsToFloat(source.get(SHORT, offset + (long) i * Short.BYTES) << 16);
        }
    }

    static void q8_0(MemorySegment source, long offset, float[] target, int start, int count) {
        requireWholeBlocks(DType.Q8_0, count);
        long block = offset;
        for (int i = 0; i < count; i += 32, block += 34) {
            float scale = half(source, block);
            for (int j = 0; j < 32; j++) {
                target[start + i + j] = scale * source.get(ValueLayout.JAVA_BYTE, block + 2 + j);
            }
        }
    }

    static void q4_0(MemorySegment source, long offset, float[] target, int start, int count) {
        requireWholeBlocks(DType.Q4_0, count);
        long block = offset;
        for (int i = 0; i < count; i += 32, block += 18) {
            float scale = half(source, block);
            for (int j = 0; j < 16; j++) {
                int pair = Byte.toUnsignedInt(source.get(ValueLayout.JAVA_BYTE, block + 2 + j));
                target[start + i + j] = scale * ((pair & 15) - 8);
                target[start + i + j + 16] = scale * ((pair >> 4) - 8);
            }
        }
    }

    static void q4_1(MemorySegment source, long offset, float[] target, int start, int count) {
        requireWholeBlocks(DType.Q4_1, count);
        long block = offset;
        for (int i = 0; i < count; i += 32, block += 20) {
            float scale = half(source, block);
            float minimum = half(source, block + 2);
            for (int j = 0; j < 16; j++) {
                int pair = Byte.toUnsignedInt(source.get(ValueLayout.JAVA_BYTE, block + 4 + j));
                // Two roundings, not a fused one.
                target[start + i + j] = scale * (pair & 15) + minimum;
                target[start + i + j + 16] = scale * (pair >> 4) + minimum;
            }
        }
    }

    static void q5_0(MemorySegment source, long offset, float[] target, int start, int count) {
        requireWholeBlocks(DType.Q5_0, count);
        long block = offset;
        for (int i = 0; i < count; i += 32, block += 22) {
            float scale = half(source, block);
            int fifth = source.get(INT, block + 2);
            for (int j = 0; j < 16; j++) {
                int pair = Byte.toUnsignedInt(source.get(ValueLayout.JAVA_BYTE, block + 6 + j));
                target[start + i + j] = scale * (((pair & 15) | (fifth >> j & 1) << 4) - 16);
                target[start + i + j + 16] = scale * (((pair >> 4) | (fifth >> (j + 16) & 1) << 4) - 16);
            }
        }
    }

    static void q5_1(MemorySegment source, long offset, float[] target, int start, int count) {
        requireWholeBlocks(DType.Q5_1, count);
        long block = offset;
        for (int i = 0; i < count; i += 32, block += 24) {
            float scale = half(source, block);
            float minimum = half(source, block + 2);
            int fifth = source.get(INT, block + 4);
            for (int j = 0; j < 16; j++) {
                int pair = Byte.toUnsignedInt(source.get(ValueLayout.JAVA_BYTE, block + 8 + j));
                target[start + i + j] = scale * ((pair & 15) | (fifth >> j & 1) << 4) + minimum;
                target[start + i + j + 16] = scale * ((pair >> 4) | (fifth >> (j + 16) & 1) << 4) + minimum;
            }
        }
    }

    static void f8e4m3(MemorySegment source, long offset, float[] target, int start, int count) {
        for (int i = 0; i < count; i++) {
            target[start + i] = e4m3(source.get(ValueLayout.JAVA_BYTE, offset + i));
        }
    }

    private static float e4m3(byte bits) {
        int magnitude = bits & 0x7F;
        float value;
        if (magnitude == 0x7F) {
            value = Float.NaN;
        } else if (magnitude < 8) {
            // Subnormal: units of 2^-9.
            value = magnitude * 0x1p-9f;
        } else {
            value = Float.intBitsToFloat((magnitude << 20) + ((127 - 7) << 23));
        }
        return bits < 0 ? -value : value;
    }

    static void f8e5m2(MemorySegment source, long offset, float[] target, int start, int count) {
        for (int i = 0; i < count; i++) {
            target[start + i] =
                    Float.float16ToFloat((short) (source.get(ValueLayout.JAVA_BYTE, offset + i) << Byte.SIZE));
        }
    }

    static void i8(MemorySegment source, long offset, float[] target, int start, int count) {
        for (int i = 0; i < count; i++) {
            target[start + i] = source.get(ValueLayout.JAVA_BYTE, offset + i);
        }
    }

    static void requireWholeBlocks(DType dtype, int count) {
        if (count % dtype.blockElements() != 0) {
            throw new IllegalArgumentException(
                    "%d elements are not whole %s blocks of %d".formatted(count, dtype, dtype.blockElements()));
        }
    }

    static float half(MemorySegment source, long offset) {
        return Float.float16ToFloat(source.get(SHORT, offset));
    }
}
