package io.penstock.shard.backend.cpu;

/// The constants of our own exponential, so that scalar and vector code give the same bits on every
/// machine.
///
/// With `n = round(x / ln 2)` and `r = x - n ln 2`, `exp(x) = 2^n exp(r)`; `exp(r)` by a polynomial of
/// degree 6 (Cephes, `expf.c`), within 2 units in the last place. `n` is rounded by adding 1.5 * 2^23,
/// which leaves it in the low bits.
final class Exponential {
    static final float LEAST = -87;
    static final float MOST = 88;
    static final float LOG2_E = 1.442695f;
    static final float ROUNDER = 12582912f;
    static final float LN2_HIGH = 0.6933594f;
    static final float LN2_LOW = -2.12194440e-4f;
    static final float C6 = 0.00019875691f;
    static final float C5 = 0.0013981999f;
    static final float C4 = 0.008333452f;
    static final float C3 = 0.041665796f;
    static final float C2 = 0.16666666f;
    static final float C1 = 0.5f;
    static final int MANTISSA_BITS = 23;

    private Exponential() {}

    /// @param x clamped to [-87, 88], outside of which floats end; NaN gives NaN
    static float exp(float x) {
        float clamped = Math.max(LEAST, Math.min(MOST, x));
        float shifted = Math.fma(clamped, LOG2_E, ROUNDER);
        float n = shifted - ROUNDER;
        float r = Math.fma(n, -LN2_LOW, Math.fma(n, -LN2_HIGH, clamped));
        float p = Math.fma(C6, r, C5);
        p = Math.fma(p, r, C4);
        p = Math.fma(p, r, C3);
        p = Math.fma(p, r, C2);
        p = Math.fma(p, r, C1);
        p = Math.fma(p, r * r, r) + 1;
        int power = Float.floatToRawIntBits(shifted) << MANTISSA_BITS;
        return Float.intBitsToFloat(Float.floatToRawIntBits(p) + power);
    }
}
