package io.penstock.shard.backend.cuda.ptx;

import static io.penstock.shard.backend.cuda.ptx.Lanes.bits;
import static io.penstock.shard.backend.cuda.ptx.Lanes.value;

/// The commonest instructions, each with a loop over all threads of a warp that the compiler can make vector code of.
final class HotOps {
    private HotOps() {}

    /// Does it for all threads by a loop of its own, for some by another.
    private static Op of(Op.Deed all, Op some) {
        return Op.of((w, mask) -> {
            if (mask == Op.ALL) {
                all.run(w, mask);
            } else {
                some.run(w, mask);
            }
        });
    }

    static Op add(int d, int a, int b) {
        return of(
                (w, _) -> {
                    int[] r = w.r;
                    for (int i = 0; i < Warp.LANES; i++) {
                        r[d + i] = r[a + i] + r[b + i];
                    }
                },
                Lanes.i2(d, a, b, (x, y) -> x + y));
    }

    static Op sub(int d, int a, int b) {
        return of(
                (w, _) -> {
                    int[] r = w.r;
                    for (int i = 0; i < Warp.LANES; i++) {
                        r[d + i] = r[a + i] - r[b + i];
                    }
                },
                Lanes.i2(d, a, b, (x, y) -> x - y));
    }

    static Op mul(int d, int a, int b) {
        return of(
                (w, _) -> {
                    int[] r = w.r;
                    for (int i = 0; i < Warp.LANES; i++) {
                        r[d + i] = r[a + i] * r[b + i];
                    }
                },
                Lanes.i2(d, a, b, (x, y) -> x * y));
    }

    static Op and(int d, int a, int b) {
        return of(
                (w, _) -> {
                    int[] r = w.r;
                    for (int i = 0; i < Warp.LANES; i++) {
                        r[d + i] = r[a + i] & r[b + i];
                    }
                },
                Lanes.i2(d, a, b, (x, y) -> x & y));
    }

    static Op or(int d, int a, int b) {
        return of(
                (w, _) -> {
                    int[] r = w.r;
                    for (int i = 0; i < Warp.LANES; i++) {
                        r[d + i] = r[a + i] | r[b + i];
                    }
                },
                Lanes.i2(d, a, b, (x, y) -> x | y));
    }

    static Op xor(int d, int a, int b) {
        return of(
                (w, _) -> {
                    int[] r = w.r;
                    for (int i = 0; i < Warp.LANES; i++) {
                        r[d + i] = r[a + i] ^ r[b + i];
                    }
                },
                Lanes.i2(d, a, b, (x, y) -> x ^ y));
    }

    static Op mad(int d, int a, int b, int c) {
        return of(
                (w, _) -> {
                    int[] r = w.r;
                    for (int i = 0; i < Warp.LANES; i++) {
                        r[d + i] = r[a + i] * r[b + i] + r[c + i];
                    }
                },
                Lanes.i3(d, a, b, c, (x, y, z) -> x * y + z));
    }

    static Op move(int d, int a) {
        return of(
                (w, _) -> {
                    int[] r = w.r;
                    for (int i = 0; i < Warp.LANES; i++) {
                        r[d + i] = r[a + i];
                    }
                },
                Lanes.i1(d, a, x -> x));
    }

    static Op moveLong(int d, int a) {
        return of(
                (w, _) -> {
                    long[] l = w.l;
                    for (int i = 0; i < Warp.LANES; i++) {
                        l[d + i] = l[a + i];
                    }
                },
                Lanes.l1(d, a, x -> x));
    }

    static Op addLong(int d, int a, int b) {
        return of(
                (w, _) -> {
                    long[] l = w.l;
                    for (int i = 0; i < Warp.LANES; i++) {
                        l[d + i] = l[a + i] + l[b + i];
                    }
                },
                Lanes.l2(d, a, b, Long::sum));
    }

    static Op addFloat(int d, int a, int b) {
        return of(
                (w, _) -> {
                    int[] r = w.r;
                    for (int i = 0; i < Warp.LANES; i++) {
                        r[d + i] = bits(value(r[a + i]) + value(r[b + i]));
                    }
                },
                Lanes.f2(d, a, b, Float::sum));
    }

    static Op subFloat(int d, int a, int b) {
        return of(
                (w, _) -> {
                    int[] r = w.r;
                    for (int i = 0; i < Warp.LANES; i++) {
                        r[d + i] = bits(value(r[a + i]) - value(r[b + i]));
                    }
                },
                Lanes.f2(d, a, b, (x, y) -> x - y));
    }

    static Op mulFloat(int d, int a, int b) {
        return of(
                (w, _) -> {
                    int[] r = w.r;
                    for (int i = 0; i < Warp.LANES; i++) {
                        r[d + i] = bits(value(r[a + i]) * value(r[b + i]));
                    }
                },
                Lanes.f2(d, a, b, (x, y) -> x * y));
    }

    static Op fmaFloat(int d, int a, int b, int c) {
        return of(
                (w, _) -> {
                    int[] r = w.r;
                    for (int i = 0; i < Warp.LANES; i++) {
                        r[d + i] = bits(Math.fma(value(r[a + i]), value(r[b + i]), value(r[c + i])));
                    }
                },
                Lanes.f3(d, a, b, c, Math::fma));
    }

    static Op widen(int d, int a) {
        return of(
                (w, _) -> {
                    int[] r = w.r;
                    long[] l = w.l;
                    for (int i = 0; i < Warp.LANES; i++) {
                        l[d + i] = r[a + i];
                    }
                },
                Lanes.iToL(d, a, x -> x));
    }

    static Op wideMul(int d, int a, int b) {
        return of(
                (w, _) -> {
                    int[] r = w.r;
                    long[] l = w.l;
                    for (int i = 0; i < Warp.LANES; i++) {
                        l[d + i] = (long) r[a + i] * r[b + i];
                    }
                },
                Lanes.iiToL(d, a, b, (x, y) -> (long) x * y));
    }

    static Op narrow(int d, int a) {
        return of(
                (w, _) -> {
                    int[] r = w.r;
                    long[] l = w.l;
                    for (int i = 0; i < Warp.LANES; i++) {
                        r[d + i] = (int) l[a + i];
                    }
                },
                Lanes.lToI(d, a, x -> (int) x));
    }

    /// By a constant below 32.
    static Op shiftLeft(int d, int a, int by) {
        return of(
                (w, _) -> {
                    int[] r = w.r;
                    for (int i = 0; i < Warp.LANES; i++) {
                        r[d + i] = r[a + i] << by;
                    }
                },
                Lanes.i1(d, a, x -> x << by));
    }

    static Op shiftRight(int d, int a, int by) {
        return of(
                (w, _) -> {
                    int[] r = w.r;
                    for (int i = 0; i < Warp.LANES; i++) {
                        r[d + i] = r[a + i] >>> by;
                    }
                },
                Lanes.i1(d, a, x -> x >>> by));
    }

    /// @param d predicate
    static Op test(int d, int a, int b, String how) {
        return Op.of(
                switch (how) {
                    case "eq" ->
                        (w, mask) -> {
                            int[] r = w.r;
                            int holds = 0;
                            for (int i = 0; i < Warp.LANES; i++) {
                                holds |= (r[a + i] == r[b + i] ? 1 : 0) << i;
                            }
                            w.decide(d, mask, holds);
                        };
                    case "ne" ->
                        (w, mask) -> {
                            int[] r = w.r;
                            int holds = 0;
                            for (int i = 0; i < Warp.LANES; i++) {
                                holds |= (r[a + i] != r[b + i] ? 1 : 0) << i;
                            }
                            w.decide(d, mask, holds);
                        };
                    case "lt" ->
                        (w, mask) -> {
                            int[] r = w.r;
                            int holds = 0;
                            for (int i = 0; i < Warp.LANES; i++) {
                                holds |= (r[a + i] < r[b + i] ? 1 : 0) << i;
                            }
                            w.decide(d, mask, holds);
                        };
                    case "le" ->
                        (w, mask) -> {
                            int[] r = w.r;
                            int holds = 0;
                            for (int i = 0; i < Warp.LANES; i++) {
                                holds |= (r[a + i] <= r[b + i] ? 1 : 0) << i;
                            }
                            w.decide(d, mask, holds);
                        };
                    case "gt" ->
                        (w, mask) -> {
                            int[] r = w.r;
                            int holds = 0;
                            for (int i = 0; i < Warp.LANES; i++) {
                                holds |= (r[a + i] > r[b + i] ? 1 : 0) << i;
                            }
                            w.decide(d, mask, holds);
                        };
                    case "ge" ->
                        (w, mask) -> {
                            int[] r = w.r;
                            int holds = 0;
                            for (int i = 0; i < Warp.LANES; i++) {
                                holds |= (r[a + i] >= r[b + i] ? 1 : 0) << i;
                            }
                            w.decide(d, mask, holds);
                        };
                    default -> throw new PtxFault("unknown comparison %s", how);
                });
    }
}
