package io.penstock.shard.backend.cuda.ptx;

/// Instructions that each thread does for itself, by what they compute of one thread's values. The commonest are
/// loops of their own elsewhere ([HotOps]).
final class Lanes {
    private Lanes() {}

    interface I1 {
        int of(int a);
    }

    interface I2 {
        int of(int a, int b);
    }

    interface I3 {
        int of(int a, int b, int c);
    }

    interface L1 {
        long of(long a);
    }

    interface L2 {
        long of(long a, long b);
    }

    interface L3 {
        long of(long a, long b, long c);
    }

    interface IToL {
        long of(int a);
    }

    interface LToI {
        int of(long a);
    }

    interface LIToL {
        long of(long a, int b);
    }

    interface IIToL {
        long of(int a, int b);
    }

    interface F1 {
        float of(float a);
    }

    interface F2 {
        float of(float a, float b);
    }

    interface F3 {
        float of(float a, float b, float c);
    }

    interface D1 {
        double of(double a);
    }

    interface D2 {
        double of(double a, double b);
    }

    interface D3 {
        double of(double a, double b, double c);
    }

    interface IITest {
        boolean of(int a, int b);
    }

    interface LLTest {
        boolean of(long a, long b);
    }

    static Op i1(int d, int a, I1 f) {
        return Op.of((w, mask) -> {
            int[] r = w.r;
            for (int m = mask; m != 0; m &= m - 1) {
                int i = Integer.numberOfTrailingZeros(m);
                r[d + i] = f.of(r[a + i]);
            }
        });
    }

    static Op i2(int d, int a, int b, I2 f) {
        return Op.of((w, mask) -> {
            int[] r = w.r;
            for (int m = mask; m != 0; m &= m - 1) {
                int i = Integer.numberOfTrailingZeros(m);
                r[d + i] = f.of(r[a + i], r[b + i]);
            }
        });
    }

    static Op i3(int d, int a, int b, int c, I3 f) {
        return Op.of((w, mask) -> {
            int[] r = w.r;
            for (int m = mask; m != 0; m &= m - 1) {
                int i = Integer.numberOfTrailingZeros(m);
                r[d + i] = f.of(r[a + i], r[b + i], r[c + i]);
            }
        });
    }

    static Op l1(int d, int a, L1 f) {
        return Op.of((w, mask) -> {
            long[] l = w.l;
            for (int m = mask; m != 0; m &= m - 1) {
                int i = Integer.numberOfTrailingZeros(m);
                l[d + i] = f.of(l[a + i]);
            }
        });
    }

    static Op l2(int d, int a, int b, L2 f) {
        return Op.of((w, mask) -> {
            long[] l = w.l;
            for (int m = mask; m != 0; m &= m - 1) {
                int i = Integer.numberOfTrailingZeros(m);
                l[d + i] = f.of(l[a + i], l[b + i]);
            }
        });
    }

    static Op l3(int d, int a, int b, int c, L3 f) {
        return Op.of((w, mask) -> {
            long[] l = w.l;
            for (int m = mask; m != 0; m &= m - 1) {
                int i = Integer.numberOfTrailingZeros(m);
                l[d + i] = f.of(l[a + i], l[b + i], l[c + i]);
            }
        });
    }

    static Op iToL(int d, int a, IToL f) {
        return Op.of((w, mask) -> {
            for (int m = mask; m != 0; m &= m - 1) {
                int i = Integer.numberOfTrailingZeros(m);
                w.l[d + i] = f.of(w.r[a + i]);
            }
        });
    }

    static Op lToI(int d, int a, LToI f) {
        return Op.of((w, mask) -> {
            for (int m = mask; m != 0; m &= m - 1) {
                int i = Integer.numberOfTrailingZeros(m);
                w.r[d + i] = f.of(w.l[a + i]);
            }
        });
    }

    static Op liToL(int d, int a, int b, LIToL f) {
        return Op.of((w, mask) -> {
            for (int m = mask; m != 0; m &= m - 1) {
                int i = Integer.numberOfTrailingZeros(m);
                w.l[d + i] = f.of(w.l[a + i], w.r[b + i]);
            }
        });
    }

    static Op iiToL(int d, int a, int b, IIToL f) {
        return Op.of((w, mask) -> {
            for (int m = mask; m != 0; m &= m - 1) {
                int i = Integer.numberOfTrailingZeros(m);
                w.l[d + i] = f.of(w.r[a + i], w.r[b + i]);
            }
        });
    }

    static Op f1(int d, int a, F1 f) {
        return i1(d, a, x -> bits(f.of(value(x))));
    }

    static Op f2(int d, int a, int b, F2 f) {
        return i2(d, a, b, (x, y) -> bits(f.of(value(x), value(y))));
    }

    static Op f3(int d, int a, int b, int c, F3 f) {
        return i3(d, a, b, c, (x, y, z) -> bits(f.of(value(x), value(y), value(z))));
    }

    static Op d1(int d, int a, D1 f) {
        return l1(d, a, x -> bits(f.of(wide(x))));
    }

    static Op d2(int d, int a, int b, D2 f) {
        return l2(d, a, b, (x, y) -> bits(f.of(wide(x), wide(y))));
    }

    static Op d3(int d, int a, int b, int c, D3 f) {
        return l3(d, a, b, c, (x, y, z) -> bits(f.of(wide(x), wide(y), wide(z))));
    }

    /// @param d predicate
    static Op test(int d, int a, int b, IITest f) {
        return Op.of((w, mask) -> {
            int[] r = w.r;
            int true_ = 0;
            for (int m = mask; m != 0; m &= m - 1) {
                int i = Integer.numberOfTrailingZeros(m);
                true_ |= f.of(r[a + i], r[b + i]) ? 1 << i : 0;
            }
            w.decide(d, mask, true_);
        });
    }

    static Op testLong(int d, int a, int b, LLTest f) {
        return Op.of((w, mask) -> {
            long[] l = w.l;
            int true_ = 0;
            for (int m = mask; m != 0; m &= m - 1) {
                int i = Integer.numberOfTrailingZeros(m);
                true_ |= f.of(l[a + i], l[b + i]) ? 1 << i : 0;
            }
            w.decide(d, mask, true_);
        });
    }

    static float value(int bits) {
        return Float.intBitsToFloat(bits);
    }

    static int bits(float value) {
        return Float.floatToRawIntBits(value);
    }

    static double wide(long bits) {
        return Double.longBitsToDouble(bits);
    }

    static long bits(double value) {
        return Double.doubleToRawLongBits(value);
    }
}
