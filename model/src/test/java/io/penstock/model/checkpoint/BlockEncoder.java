package io.penstock.model.checkpoint;

import io.penstock.model.tensor.DType;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/// Writes floats as stored elements, simply: for the weights of test models, where a good fit does not
/// matter.
final class BlockEncoder {
    private BlockEncoder() {}

    /// @param values a whole number of blocks
    static byte[] encode(DType dtype, float[] values) {
        ByteBuffer out = ByteBuffer.allocate(Math.toIntExact(dtype.bytesFor(values.length)))
                .order(ByteOrder.LITTLE_ENDIAN);
        for (int i = 0; i < values.length; i += dtype.blockElements()) {
            switch (dtype) {
                case F32 -> out.putFloat(values[i]);
                case F16 -> out.putShort(Float.floatToFloat16(values[i]));
                // Truncated, not rounded.
                case BF16 -> out.putShort((short) (Float.floatToRawIntBits(values[i]) >>> 16));
                case Q8_0 -> q8_0(out, values, i);
                case Q4_0 -> q4_0(out, values, i);
                case Q4_1 -> q4_1(out, values, i);
                case Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, F8_E4M3, F8_E5M2, I8, U8, I32, I64 ->
                    throw new IllegalArgumentException("no test model is written in " + dtype);
            }
        }
        return out.array();
    }

    private static void q8_0(ByteBuffer out, float[] values, int start) {
        float scale = rounded(largest(values, start) / 127);
        out.putShort(Float.floatToFloat16(scale));
        for (int j = 0; j < 32; j++) {
            out.put((byte) level(values[start + j], 0, scale, -127, 127));
        }
    }

    private static void q4_0(ByteBuffer out, float[] values, int start) {
        float scale = rounded(largest(values, start) / 7);
        out.putShort(Float.floatToFloat16(scale));
        for (int j = 0; j < 16; j++) {
            int low = level(values[start + j], 0, scale, -8, 7) + 8;
            int high = level(values[start + j + 16], 0, scale, -8, 7) + 8;
            out.put((byte) (low | high << 4));
        }
    }

    private static void q4_1(ByteBuffer out, float[] values, int start) {
        float least = Float.POSITIVE_INFINITY;
        float most = Float.NEGATIVE_INFINITY;
        for (int j = 0; j < 32; j++) {
            least = Math.min(least, values[start + j]);
            most = Math.max(most, values[start + j]);
        }
        least = rounded(least);
        float scale = rounded((most - least) / 15);
        out.putShort(Float.floatToFloat16(scale)).putShort(Float.floatToFloat16(least));
        for (int j = 0; j < 16; j++) {
            int low = level(values[start + j], least, scale, 0, 15);
            int high = level(values[start + j + 16], least, scale, 0, 15);
            out.put((byte) (low | high << 4));
        }
    }

    private static float largest(float[] values, int start) {
        float largest = 0;
        for (int j = 0; j < 32; j++) {
            largest = Math.max(largest, Math.abs(values[start + j]));
        }
        return largest;
    }

    private static float rounded(float value) {
        return Float.float16ToFloat(Float.floatToFloat16(value));
    }

    private static int level(float value, float zero, float scale, int least, int most) {
        return scale == 0 ? 0 : Math.clamp(Math.round((value - zero) / scale), least, most);
    }
}
