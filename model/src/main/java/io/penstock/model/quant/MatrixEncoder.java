package io.penstock.model.quant;

import io.penstock.model.quant.WeightFormat.Grouped;
import io.penstock.model.quant.WeightFormat.Packing;
import io.penstock.model.quant.WeightFormat.Scaled;
import io.penstock.model.quant.WeightFormat.Zeros;
import io.penstock.model.tensor.DType;
import java.nio.ByteBuffer;

/// Turns floats into a stored matrix, from its first row to its last: the way back from [MatrixDecoder], each weight to
/// the nearest that its format has. Writes two of them.
public final class MatrixEncoder {
    /// 4 bits, symmetric, 128 inputs a scale, as compressed-tensors lays them out.
    public static final Grouped INT4 = new Grouped(4, 128, Packing.INPUTS_ACROSS, Zeros.MIDDLE, false);
    /// e4m3 in tiles of 128 x 128, as DeepSeek-V3 is published.
    public static final Scaled FLOAT8 = new Scaled(DType.F8_E4M3, 128, 128, 1);

    private static final float LARGEST_E4M3 = 448;
    /// Parts of the range that a scale may cover instead of all of it: a weight or two cut off costs less than all
    /// others rounded more coarsely.
    private static final float[] COVERED = {1, 0.95f, 0.9f, 0.85f, 0.8f};

    private final WeightFormat format;
    private final int columns;
    private final DType scaleType;

    /// @param format [#INT4] or [#FLOAT8]
    /// @param columns inputs
    /// @param scaleType F32, F16 or BF16
    public MatrixEncoder(WeightFormat format, int columns, DType scaleType) {
        if (!format.equals(INT4) && !format.equals(FLOAT8)) {
            throw new IllegalArgumentException(format + " is not written");
        }
        this.format = format;
        this.columns = columns;
        this.scaleType = scaleType;
    }

    /// Rows that share scales, and are encoded together.
    public int rowsTogether() {
        return format instanceof Scaled scaled ? scaled.tileRows() : 1;
    }

    /// @param weights whole rows: as many as share scales, or fewer at the matrix's end
    /// @param payload receives theirs, little-endian
    /// @param scales receives theirs, little-endian
    /// @throws IllegalArgumentException if a weight is not finite
    public void encode(float[] weights, int rows, ByteBuffer payload, ByteBuffer scales) {
        for (int i = 0; i < rows * columns; i++) {
            if (!Float.isFinite(weights[i])) {
                throw new IllegalArgumentException("weight %d of these rows is %s".formatted(i, weights[i]));
            }
        }
        if (format instanceof Scaled) {
            encodeTiles(weights, rows, payload, scales);
        } else {
            encodeGroups(weights, payload, scales);
        }
    }

    private void encodeGroups(float[] weights, ByteBuffer payload, ByteBuffer scales) {
        for (int start = 0; start < columns; start += INT4.groupSize()) {
            int end = Math.min(columns, start + INT4.groupSize());
            float scale = groupScale(weights, start, end);
            put(scales, scale);
            for (int first = start; first < end; first += INT4.perWord()) {
                int word = 0;
                for (int i = first; i < Math.min(end, first + INT4.perWord()); i++) {
                    word |= (level(weights[i], scale) + 8) << (4 * (i - first));
                }
                payload.putInt(word);
            }
        }
    }

    private float groupScale(float[] weights, int start, int end) {
        float largest = 0;
        for (int i = start; i < end; i++) {
            largest = Math.max(largest, Math.abs(weights[i]));
        }
        float best = 0;
        double least = Double.POSITIVE_INFINITY;
        for (float covered : COVERED) {
            float scale = stored(covered * largest / 7.5f);
            double error = 0;
            for (int i = start; i < end; i++) {
                double off = weights[i] - level(weights[i], scale) * scale;
                error += off * off;
            }
            if (error < least) {
                least = error;
                best = scale;
            }
        }
        return best;
    }

    private static int level(float weight, float scale) {
        // A scale too small for its type to hold is 0, and so are its weights.
        return scale == 0 ? 0 : Math.clamp((long) Math.rint(weight / scale), -8, 7);
    }

    private void encodeTiles(float[] weights, int rows, ByteBuffer payload, ByteBuffer scales) {
        float[] tiles = new float[FLOAT8.tilesAcross(columns)];
        for (int row = 0; row < rows; row++) {
            for (int column = 0; column < columns; column++) {
                int tile = column / FLOAT8.tileColumns();
                tiles[tile] = Math.max(tiles[tile], Math.abs(weights[row * columns + column]));
            }
        }
        for (int tile = 0; tile < tiles.length; tile++) {
            tiles[tile] = stored(tiles[tile] / LARGEST_E4M3);
            put(scales, tiles[tile]);
        }
        for (int row = 0; row < rows; row++) {
            for (int column = 0; column < columns; column++) {
                float scale = tiles[column / FLOAT8.tileColumns()];
                payload.put(e4m3(scale == 0 ? 0 : weights[row * columns + column] / scale));
            }
        }
    }

    /// The nearest number of the type, ties to even; beyond the largest, that.
    static byte e4m3(float value) {
        int sign = (Float.floatToRawIntBits(value) >>> 24) & 0x80;
        float magnitude = Math.min(Math.abs(value), LARGEST_E4M3);
        // The exponent of the last place: 3 bits of fraction, and never below the subnormals' 2^-9.
        int exponent = Math.max(Math.getExponent(magnitude), -6) - 3;
        int places = (int) Math.rint(Math.scalb((double) magnitude, -exponent));
        // Normal numbers have 8 to 15 places (16 is 8 of the next exponent); the field begins at -6.
        return (byte) (sign | (places < 8 ? places : ((exponent + 9) << 3) + places));
    }

    private float stored(float scale) {
        return switch (scaleType) {
            case F32 -> scale;
            case F16 -> Float.float16ToFloat(Float.floatToFloat16(scale));
            case BF16 -> Float.intBitsToFloat(bf16(scale) << 16);
            default -> throw new IllegalArgumentException("scales of " + scaleType);
        };
    }

    private void put(ByteBuffer scales, float scale) {
        switch (scaleType) {
            case F32 -> scales.putFloat(scale);
            case F16 -> scales.putShort(Float.floatToFloat16(scale));
            case BF16 -> scales.putShort((short) bf16(scale));
            default -> throw new IllegalArgumentException("scales of " + scaleType);
        }
    }

    /// Nearest, ties to even.
    private static int bf16(float value) {
        int bits = Float.floatToRawIntBits(value);
        return (bits + 0x7FFF + ((bits >>> 16) & 1)) >>> 16;
    }
}
