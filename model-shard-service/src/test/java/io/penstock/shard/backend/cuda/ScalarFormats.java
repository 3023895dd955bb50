package io.penstock.shard.backend.cuda;

import static io.penstock.shard.backend.cuda.WeightFormat.GRANULE;

import java.util.Arrays;

/// What weight formats mean, value by value: the oracle of their kernels.
final class ScalarFormats {
    private ScalarFormats() {}

    /// A matrix' values once they have been through a format.
    ///
    /// @param halves whether the rows are, in turn, 8 of one matrix and 8 of another
    static float[] roundTrip(WeightFormat format, float[] values, int rows, int columns, boolean halves) {
        float[] out = new float[values.length];
        int parts = halves ? 2 : 1;
        int granules = columns / GRANULE;
        // Of a row, or of a block of 128 rows of a half by 128 columns; negative before it is known.
        float[] most = new float[Math.max(rows, parts * (rows / 128 + 1) * granules)];
        Arrays.fill(most, -1);
        for (int r = 0; r < rows; r++) {
            int half = halves ? r / 8 % 2 : 0;
            int own = halves ? r / 16 * 8 + r % 8 : r;
            for (int c = 0; c < columns; c++) {
                int at = r * columns + c;
                out[at] = switch (format) {
                    case BF16 -> values[at];
                    case FP8_ROWS -> {
                        if (most[r] < 0) {
                            most[r] = largest(values, columns, r, r + 1, 0, columns, 0, 1);
                        }
                        yield fp8(values[at], most[r]);
                    }
                    case FP8_BLOCKS -> {
                        int block = (own / 128 * parts + half) * granules + c / GRANULE;
                        if (most[block] < 0) {
                            int first = own / 128 * 128;
                            int last = Math.min(first + 128, rows / parts);
                            int column = c / GRANULE * GRANULE;
                            most[block] = largest(values, columns, first, last, column, column + GRANULE, half, parts);
                        }
                        yield fp8(values[at], most[block]);
                    }
                    case INT4, INT4_ZEROS -> int4(values, r * columns + c / GRANULE * GRANULE, at, format);
                };
            }
        }
        return out;
    }

    private static float largest(
            float[] values, int columns, int rowFrom, int rowTo, int from, int to, int half, int parts) {
        float most = 0;
        for (int r = rowFrom; r < rowTo; r++) {
            int stored = parts == 1 ? r : r / 8 * 16 + half * 8 + r % 8;
            for (int c = from; c < to; c++) {
                most = Math.max(most, Math.abs(values[stored * columns + c]));
            }
        }
        return most;
    }

    private static float fp8(float value, float most) {
        float scale = most > 0 ? most / 448 : 1;
        return nearestFp8(value / scale) * scale;
    }

    /// The nearest e4m3 value, of two the one with the even last bit; at most 448.
    static float nearestFp8(float value) {
        float size = Math.abs(value);
        float step = (float) Math.pow(2, Math.max(-6, Math.getExponent(size)) - 3);
        return Math.copySign(Math.min(448, (float) Math.rint(size / step) * step), value);
    }

    private static float int4(float[] values, int group, int at, WeightFormat format) {
        float low = 0;
        float high = 0;
        for (int i = group; i < group + GRANULE; i++) {
            low = Math.min(low, values[i]);
            high = Math.max(high, values[i]);
        }
        boolean zeros = format == WeightFormat.INT4_ZEROS;
        float scale = zeros ? (high - low) / 15 : Math.max(high, -low) / 7;
        scale = Float.float16ToFloat(Float.floatToFloat16(scale));
        if (scale == 0) {
            return 0;
        }
        float zero = zeros ? clamped((float) Math.rint(-low / scale)) : 8;
        return (clamped((float) Math.rint(values[at] / scale) + zero) - zero) * scale;
    }

    private static float clamped(float code) {
        return Math.min(15, Math.max(0, code));
    }

    static float toBf16(float value) {
        int bits = Float.floatToRawIntBits(value);
        bits += 0x7fff + (bits >> 16 & 1);
        return Float.intBitsToFloat(bits & 0xffff0000);
    }
}
