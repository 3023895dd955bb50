package io.penstock.shard.backend.cuda.ptx;

/// Numbers of few bits, and rounding as the device does it.
final class Numbers {
    private static final float[] FROM_E4M3 = new float[256];
    private static final int LARGEST_E4M3 = 0x7e;

    static {
        for (int code = 0; code < 256; code++) {
            int exponent = (code >> 3) & 15;
            float size = exponent == 0 ? (code & 7) * 0x1p-9f : (float) ((8 + (code & 7)) * Math.pow(2, exponent - 10));
            FROM_E4M3[code] = (code & 0x7f) == 0x7f ? Float.NaN : code < 128 ? size : -size;
        }
    }

    private Numbers() {}

    static float fromBf16(int bits) {
        return Float.intBitsToFloat(bits << 16);
    }

    /// To the nearest, of two the even one.
    static int toBf16(float value) {
        if (Float.isNaN(value)) {
            return 0x7fff;
        }
        int bits = Float.floatToRawIntBits(value);
        return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
    }

    static float fromF16(int bits) {
        return Float.float16ToFloat((short) bits);
    }

    static int toF16(float value) {
        return Float.isNaN(value) ? 0x7fff : Float.floatToFloat16(value) & 0xffff;
    }

    /// At most the largest number, never infinite.
    static int toFiniteF16(float value) {
        return toF16(Float.isNaN(value) ? value : Math.max(-65_504, Math.min(65_504, value)));
    }

    static float fromE4m3(int code) {
        return FROM_E4M3[code & 0xff];
    }

    /// To the nearest, of two the even one; at most 448.
    static int toE4m3(float value) {
        if (Float.isNaN(value)) {
            return 0x7f;
        }
        int sign = (Float.floatToRawIntBits(value) >>> 24) & 0x80;
        float size = Math.abs(value);
        int low = 0;
        int high = LARGEST_E4M3;
        // The largest code that is not above.
        while (low < high) {
            int middle = (low + high + 1) / 2;
            if (FROM_E4M3[middle] <= size) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        if (low < LARGEST_E4M3) {
            double under = (double) size - FROM_E4M3[low];
            double over = (double) FROM_E4M3[low + 1] - size;
            low += over < under || (over == under && (low & 1) == 1) ? 1 : 0;
        }
        return sign | low;
    }

    /// The largest float that is not above the exact a * b + c.
    static float fmaDown(float a, float b, float c) {
        double product = (double) a * b;
        double sum = product + c;
        if (Double.isNaN(sum) || Double.isInfinite(sum)) {
            return (float) sum;
        }
        // What rounding left of the sum, exactly.
        double part = sum - product;
        double rest = (product - (sum - part)) + (c - part);
        float nearest = (float) sum;
        return nearest > sum || (nearest == sum && rest < 0) ? Math.nextDown(nearest) : nearest;
    }

    static float max(float a, float b) {
        return Float.isNaN(a) ? b : Float.isNaN(b) ? a : Math.max(a, b);
    }

    static float min(float a, float b) {
        return Float.isNaN(a) ? b : Float.isNaN(b) ? a : Math.min(a, b);
    }

    static float flushed(float value) {
        return Math.abs(value) < Float.MIN_NORMAL ? Math.copySign(0, value) : value;
    }

    static float exp2(float value) {
        return (float) Math.pow(2, value);
    }

    static float half2Low(int two) {
        return fromF16(two & 0xffff);
    }

    /// Bytes of a and b (eight of them) by four selectors.
    static int permute(int a, int b, int selectors) {
        long both = ((long) b << 32) | (a & 0xffffffffL);
        int result = 0;
        for (int i = 0; i < 4; i++) {
            int selector = (selectors >>> (4 * i)) & 15;
            int value = (int) (both >>> (8 * (selector & 7))) & 0xff;
            if ((selector & 8) != 0) {
                value = (value & 0x80) != 0 ? 0xff : 0;
            }
            result |= value << (8 * i);
        }
        return result;
    }

    /// @param size of the words, in bits
    static long insert(long from, long into, int size, int position, int length) {
        int at = position & 0xff;
        int bits = length & 0xff;
        if (at >= size || bits == 0) {
            return into;
        }
        long mask = (bits >= 64 ? -1 : (1L << bits) - 1) << at;
        return (into & ~mask) | ((from << at) & mask);
    }
}
