package io.penstock.shard.backend.cuda.ptx;

import java.util.List;

/// Instructions on numbers, by their names.
final class Arithmetic {
    private final Names names;

    Arithmetic(Names names) {
        this.names = names;
    }

    /// @param parts of the opcode
    /// @return null where it is none of these
    Op of(String opcode, String[] parts, List<String> o) {
        String type = parts[parts.length - 1];
        return switch (parts[0]) {
            case "add",
                    "sub",
                    "mul",
                    "mad",
                    "min",
                    "max",
                    "div",
                    "rem",
                    "fma",
                    "neg",
                    "abs",
                    "rcp",
                    "rsqrt",
                    "ex2",
                    "sqrt",
                    "lg2" -> numbers(opcode, type, o);
            case "addc", "subc", "madc" -> carried(opcode, o);
            case "and", "or", "xor", "not", "shl", "shr", "brev", "clz", "popc", "bfi", "bfind", "prmt" ->
                bits(opcode, type, o);
            case "setp" -> test(parts, type, o);
            case "selp" -> select(type, o);
            default -> null;
        };
    }

    private Op numbers(String opcode, String type, List<String> o) {
        return switch (type) {
            case "f32" -> floats(opcode, o);
            case "f64" -> doubles(opcode, o);
            case "bf16x2" -> bf16Pairs(opcode, o);
            case "s64", "u64" -> longs(opcode, o);
            default -> ints(opcode, o);
        };
    }

    private static int constantOf(String operand) {
        return operand.matches("\\d+") ? Integer.parseInt(operand) : -1;
    }

    private Op ints(String opcode, List<String> o) {
        if (opcode.startsWith("mul.wide") || opcode.startsWith("mad.wide")) {
            int d = names.int64(o.get(0));
            int a = names.int32(o.get(1));
            int b = names.int32(o.get(2));
            return switch (opcode) {
                case "mul.wide.s32" -> HotOps.wideMul(d, a, b);
                case "mul.wide.u32" -> Lanes.iiToL(d, a, b, (x, y) -> (x & 0xffffffffL) * (y & 0xffffffffL));
                default -> null;
            };
        }
        if (opcode.contains(".cc.")) {
            return carried(opcode, o);
        }
        int d = names.int32(o.get(0));
        int a = names.int32(o.get(1));
        if (o.size() == 2) {
            return switch (opcode) {
                case "neg.s32" -> Lanes.i1(d, a, x -> -x);
                case "abs.s32" -> Lanes.i1(d, a, Math::abs);
                default -> null;
            };
        }
        int b = names.int32(o.get(2));
        return switch (opcode) {
            case "add.s32", "add.u32" -> HotOps.add(d, a, b);
            case "sub.s32", "sub.u32" -> HotOps.sub(d, a, b);
            case "add.s16", "add.u16" -> Lanes.i2(d, a, b, (x, y) -> (x + y) & 0xffff);
            case "sub.s16", "sub.u16" -> Lanes.i2(d, a, b, (x, y) -> (x - y) & 0xffff);
            case "mul.lo.s16", "mul.lo.u16" -> Lanes.i2(d, a, b, (x, y) -> (x * y) & 0xffff);
            case "mul.lo.s32", "mul.lo.u32" -> HotOps.mul(d, a, b);
            case "mul.hi.s32" -> Lanes.i2(d, a, b, (x, y) -> (int) (((long) x * y) >> 32));
            case "mul.hi.u32" -> Lanes.i2(d, a, b, (x, y) -> (int) (((x & 0xffffffffL) * (y & 0xffffffffL)) >>> 32));
            case "mad.lo.s32", "mad.lo.u32" -> HotOps.mad(d, a, b, names.int32(o.get(3)));
            case "min.s32" -> Lanes.i2(d, a, b, Math::min);
            case "max.s32" -> Lanes.i2(d, a, b, Math::max);
            case "min.u32" -> Lanes.i2(d, a, b, (x, y) -> Integer.compareUnsigned(x, y) < 0 ? x : y);
            case "max.u32" -> Lanes.i2(d, a, b, (x, y) -> Integer.compareUnsigned(x, y) > 0 ? x : y);
            case "div.s32" -> Lanes.i2(d, a, b, (x, y) -> x / y);
            case "rem.s32" -> Lanes.i2(d, a, b, (x, y) -> x % y);
            case "div.u32" -> Lanes.i2(d, a, b, Integer::divideUnsigned);
            case "rem.u32" -> Lanes.i2(d, a, b, Integer::remainderUnsigned);
            default -> null;
        };
    }

    private Op longs(String opcode, List<String> o) {
        int d = names.int64(o.get(0));
        int a = names.int64(o.get(1));
        if (o.size() == 2) {
            return switch (opcode) {
                case "neg.s64" -> Lanes.l1(d, a, x -> -x);
                case "abs.s64" -> Lanes.l1(d, a, Math::abs);
                default -> null;
            };
        }
        int b = names.int64(o.get(2));
        return switch (opcode) {
            case "add.s64", "add.u64" -> HotOps.addLong(d, a, b);
            case "sub.s64", "sub.u64" -> Lanes.l2(d, a, b, (x, y) -> x - y);
            case "mul.lo.s64", "mul.lo.u64" -> Lanes.l2(d, a, b, (x, y) -> x * y);
            case "mad.lo.s64", "mad.lo.u64" -> Lanes.l3(d, a, b, names.int64(o.get(3)), (x, y, z) -> x * y + z);
            case "min.s64" -> Lanes.l2(d, a, b, Math::min);
            case "max.s64" -> Lanes.l2(d, a, b, Math::max);
            case "min.u64" -> Lanes.l2(d, a, b, (x, y) -> Long.compareUnsigned(x, y) < 0 ? x : y);
            case "max.u64" -> Lanes.l2(d, a, b, (x, y) -> Long.compareUnsigned(x, y) > 0 ? x : y);
            case "div.s64" -> Lanes.l2(d, a, b, (x, y) -> x / y);
            case "rem.s64" -> Lanes.l2(d, a, b, (x, y) -> x % y);
            case "div.u64" -> Lanes.l2(d, a, b, Long::divideUnsigned);
            case "rem.u64" -> Lanes.l2(d, a, b, Long::remainderUnsigned);
            default -> null;
        };
    }

    /// Numbers in parts, with what carries from one to the next.
    private Op carried(String opcode, List<String> o) {
        int d = names.int32(o.get(0));
        int a = names.int32(o.get(1));
        int b = names.int32(o.get(2));
        int c = o.size() > 3 ? names.int32(o.get(3)) : -1;
        boolean takes = opcode.startsWith("addc") || opcode.startsWith("subc") || opcode.startsWith("madc");
        boolean gives = opcode.contains(".cc");
        boolean high = opcode.contains(".hi");
        if (!opcode.endsWith(".u32") && !opcode.endsWith(".s32")) {
            return null;
        }
        boolean subtracts = opcode.startsWith("sub");
        return Op.of((w, mask) -> {
            for (int m = mask; m != 0; m &= m - 1) {
                int i = Integer.numberOfTrailingZeros(m);
                long x = w.r[a + i] & 0xffffffffL;
                long y = w.r[b + i] & 0xffffffffL;
                long in = takes ? (w.carry >>> i) & 1 : 0;
                long result;
                if (c >= 0) {
                    long product = high ? (x * y) >>> 32 : (x * y) & 0xffffffffL;
                    result = product + (w.r[c + i] & 0xffffffffL) + in;
                } else {
                    result = subtracts ? x - y - in : x + y + in;
                }
                w.r[d + i] = (int) result;
                if (gives) {
                    w.carry = (w.carry & ~(1 << i)) | (((int) (result >>> 32) & 1) << i);
                }
            }
        });
    }

    private Op floats(String opcode, List<String> o) {
        int d = names.int32(o.get(0));
        int a = names.int32(o.get(1));
        if (o.size() == 2) {
            return switch (opcode) {
                case "neg.f32" -> Lanes.i1(d, a, x -> x ^ 0x80000000);
                case "abs.f32" -> Lanes.i1(d, a, x -> x & 0x7fffffff);
                case "rcp.rn.f32", "rcp.approx.f32" -> Lanes.f1(d, a, x -> 1 / x);
                case "rsqrt.approx.f32" -> Lanes.f1(d, a, x -> (float) (1 / Math.sqrt(x)));
                case "sqrt.rn.f32", "sqrt.approx.f32" -> Lanes.f1(d, a, x -> (float) Math.sqrt(x));
                case "rcp.approx.ftz.f32" -> Lanes.f1(d, a, x -> Numbers.flushed(1 / Numbers.flushed(x)));
                case "ex2.approx.f32" -> Lanes.f1(d, a, Numbers::exp2);
                case "ex2.approx.ftz.f32" -> Lanes.f1(d, a, x -> Numbers.flushed(Numbers.exp2(Numbers.flushed(x))));
                case "lg2.approx.f32" -> Lanes.f1(d, a, x -> (float) (Math.log(x) / Math.log(2)));
                default -> null;
            };
        }
        int b = names.int32(o.get(2));
        return switch (opcode) {
            case "add.f32", "add.rn.f32" -> HotOps.addFloat(d, a, b);
            case "sub.f32", "sub.rn.f32" -> HotOps.subFloat(d, a, b);
            case "mul.f32", "mul.rn.f32" -> HotOps.mulFloat(d, a, b);
            case "fma.rn.f32" -> HotOps.fmaFloat(d, a, b, names.int32(o.get(3)));
            case "fma.rm.f32" -> Lanes.f3(d, a, b, names.int32(o.get(3)), Numbers::fmaDown);
            case "div.rn.f32", "div.approx.f32", "div.full.f32" -> Lanes.f2(d, a, b, (x, y) -> x / y);
            case "max.f32" -> Lanes.f2(d, a, b, Numbers::max);
            case "min.f32" -> Lanes.f2(d, a, b, Numbers::min);
            default -> null;
        };
    }

    private Op doubles(String opcode, List<String> o) {
        int d = names.int64(o.get(0));
        int a = names.int64(o.get(1));
        if (o.size() == 2) {
            return switch (opcode) {
                case "neg.f64" -> Lanes.d1(d, a, x -> -x);
                case "abs.f64" -> Lanes.d1(d, a, Math::abs);
                case "rcp.rn.f64", "rcp.approx.ftz.f64" -> Lanes.d1(d, a, x -> 1 / x);
                case "sqrt.rn.f64" -> Lanes.d1(d, a, Math::sqrt);
                default -> null;
            };
        }
        int b = names.int64(o.get(2));
        return switch (opcode) {
            case "add.f64", "add.rn.f64" -> Lanes.d2(d, a, b, Double::sum);
            case "sub.f64", "sub.rn.f64" -> Lanes.d2(d, a, b, (x, y) -> x - y);
            case "mul.f64", "mul.rn.f64" -> Lanes.d2(d, a, b, (x, y) -> x * y);
            case "div.rn.f64" -> Lanes.d2(d, a, b, (x, y) -> x / y);
            case "fma.rn.f64" -> Lanes.d3(d, a, b, names.int64(o.get(3)), Math::fma);
            default -> null;
        };
    }

    private Op bf16Pairs(String opcode, List<String> o) {
        int d = names.int32(o.get(0));
        int a = names.int32(o.get(1));
        int b = names.int32(o.get(2));
        return switch (opcode) {
            case "fma.rn.bf16x2" -> Lanes.i3(d, a, b, names.int32(o.get(3)), Arithmetic::fmaPairs);
            case "mul.bf16x2", "mul.rn.bf16x2" -> Lanes.i2(d, a, b, (x, y) -> fmaPairs(x, y, 0x80008000));
            default -> null;
        };
    }

    private static int fmaPairs(int x, int y, int z) {
        return fmaBf16(x, y, z) | (fmaBf16(x >>> 16, y >>> 16, z >>> 16) << 16);
    }

    private static int fmaBf16(int x, int y, int z) {
        // A product of two has 16 bits; the sum is exact as a double where it matters, and rounded once more.
        double exact = (double) Numbers.fromBf16(x) * Numbers.fromBf16(y) + Numbers.fromBf16(z);
        float near = (float) exact;
        if (near != exact && !Float.isNaN(near)) {
            // To odd, so that the second rounding sees that there was more.
            float down = near > exact ? Math.nextDown(near) : near;
            near = (Float.floatToRawIntBits(down) & 1) != 0 ? down : Math.nextUp(down);
        }
        return Numbers.toBf16(near);
    }

    private Op bits(String opcode, String type, List<String> o) {
        if (type.equals("pred")) {
            int d = names.predicate(o.get(0));
            int a = names.predicate(o.get(1));
            // As nvcc writes a negation, at times.
            if (opcode.equals("xor.pred") && o.get(2).equals("-1")) {
                return Op.of((w, mask) -> w.decide(d, mask, ~w.p[a]));
            }
            int b = o.size() > 2 ? names.predicate(o.get(2)) : a;
            return Op.of(
                    switch (opcode) {
                        case "and.pred" -> (w, mask) -> w.decide(d, mask, w.p[a] & w.p[b]);
                        case "or.pred" -> (w, mask) -> w.decide(d, mask, (w.p[a] | w.p[b]));
                        case "xor.pred" -> (w, mask) -> w.decide(d, mask, (w.p[a] ^ w.p[b]));
                        case "not.pred" -> (w, mask) -> w.decide(d, mask, ~w.p[a]);
                        default -> throw new PtxFault("unknown instruction %s", opcode);
                    });
        }
        boolean wide = type.endsWith("64");
        String name = opcode.substring(0, opcode.indexOf('.'));
        if (name.equals("clz") || name.equals("popc") || name.equals("bfind")) {
            int d = names.int32(o.get(0));
            int a = names.of(o.get(1), wide);
            return switch (opcode) {
                case "clz.b32" -> Lanes.i1(d, a, Integer::numberOfLeadingZeros);
                case "clz.b64" -> Lanes.lToI(d, a, Long::numberOfLeadingZeros);
                case "popc.b32" -> Lanes.i1(d, a, Integer::bitCount);
                case "popc.b64" -> Lanes.lToI(d, a, Long::bitCount);
                case "bfind.shiftamt.u32" -> Lanes.i1(d, a, x -> x == 0 ? -1 : Integer.numberOfLeadingZeros(x));
                case "bfind.u32" -> Lanes.i1(d, a, x -> 31 - Integer.numberOfLeadingZeros(x));
                default -> null;
            };
        }
        int d = names.of(o.get(0), wide);
        int a = names.of(o.get(1), wide);
        switch (name) {
            case "shl", "shr" -> {
                int by = constantOf(o.get(2));
                if (by >= 0 && by < 32 && opcode.equals("shl.b32")) {
                    return HotOps.shiftLeft(d, a, by);
                }
                if (by >= 0 && by < 32 && opcode.equals("shr.u32")) {
                    return HotOps.shiftRight(d, a, by);
                }
                int b = names.int32(o.get(2));
                return switch (opcode) {
                    case "shl.b32" -> Lanes.i2(d, a, b, (x, y) -> y < 0 || y > 31 ? 0 : x << y);
                    case "shr.u32" -> Lanes.i2(d, a, b, (x, y) -> y < 0 || y > 31 ? 0 : x >>> y);
                    case "shr.s32" -> Lanes.i2(d, a, b, (x, y) -> x >> (y < 0 || y > 31 ? 31 : y));
                    case "shl.b16" -> Lanes.i2(d, a, b, (x, y) -> y < 0 || y > 15 ? 0 : (x << y) & 0xffff);
                    case "shr.u16" -> Lanes.i2(d, a, b, (x, y) -> y < 0 || y > 15 ? 0 : x >>> y);
                    case "shr.s16" -> Lanes.i2(d, a, b, (x, y) -> ((short) x >> (y < 0 || y > 15 ? 15 : y)) & 0xffff);
                    case "shl.b64" -> Lanes.liToL(d, a, b, (x, y) -> y < 0 || y > 63 ? 0 : x << y);
                    case "shr.u64" -> Lanes.liToL(d, a, b, (x, y) -> y < 0 || y > 63 ? 0 : x >>> y);
                    case "shr.s64" -> Lanes.liToL(d, a, b, (x, y) -> x >> (y < 0 || y > 63 ? 63 : y));
                    default -> null;
                };
            }
            case "bfi" -> {
                int into = names.of(o.get(2), wide);
                int at = names.int32(o.get(3));
                int length = names.int32(o.get(4));
                return Op.of((w, mask) -> {
                    for (int m = mask; m != 0; m &= m - 1) {
                        int i = Integer.numberOfTrailingZeros(m);
                        if (wide) {
                            w.l[d + i] = Numbers.insert(w.l[a + i], w.l[into + i], 64, w.r[at + i], w.r[length + i]);
                        } else {
                            w.r[d + i] =
                                    (int) Numbers.insert(w.r[a + i], w.r[into + i], 32, w.r[at + i], w.r[length + i]);
                        }
                    }
                });
            }
            default -> {
                // Below.
            }
        }
        if (o.size() == 2) {
            return switch (opcode) {
                case "not.b32" -> Lanes.i1(d, a, x -> ~x);
                case "not.b16" -> Lanes.i1(d, a, x -> ~x & 0xffff);
                case "not.b64" -> Lanes.l1(d, a, x -> ~x);
                case "brev.b32" -> Lanes.i1(d, a, Integer::reverse);
                case "brev.b64" -> Lanes.l1(d, a, Long::reverse);
                default -> null;
            };
        }
        int b = names.of(o.get(2), wide);
        return switch (opcode) {
            case "and.b32", "and.b16" -> HotOps.and(d, a, b);
            case "or.b32", "or.b16" -> HotOps.or(d, a, b);
            case "xor.b32", "xor.b16" -> HotOps.xor(d, a, b);
            case "and.b64" -> Lanes.l2(d, a, b, (x, y) -> x & y);
            case "or.b64" -> Lanes.l2(d, a, b, (x, y) -> x | y);
            case "xor.b64" -> Lanes.l2(d, a, b, (x, y) -> x ^ y);
            case "prmt.b32" -> Lanes.i3(d, a, b, names.int32(o.get(3)), Numbers::permute);
            default -> null;
        };
    }

    private Op test(String[] parts, String type, List<String> o) {
        if (parts.length != 3) {
            return null;
        }
        int d = names.predicate(o.get(0));
        boolean wide = type.endsWith("64");
        int a = names.of(o.get(1), wide);
        int b = names.of(o.get(2), wide);
        String how = parts[1];
        return switch (type) {
            case "s32" -> HotOps.test(d, a, b, how);
            case "u32", "b32" -> {
                Lanes.IITest test = compared(how);
                yield how.equals("eq") || how.equals("ne")
                        ? Lanes.test(d, a, b, test)
                        : Lanes.test(d, a, b, (x, y) -> test.of(x ^ 0x80000000, y ^ 0x80000000));
            }
            case "s16" -> {
                Lanes.IITest test = compared(how);
                yield Lanes.test(d, a, b, (x, y) -> test.of((short) x, (short) y));
            }
            case "u16", "b16" -> {
                Lanes.IITest test = compared(how);
                yield Lanes.test(d, a, b, (x, y) -> test.of(x & 0xffff, y & 0xffff));
            }
            case "s64" -> Lanes.testLong(d, a, b, comparedLong(how));
            case "u64", "b64" -> {
                Lanes.LLTest test = comparedLong(how);
                yield Lanes.testLong(d, a, b, (x, y) -> test.of(x ^ Long.MIN_VALUE, y ^ Long.MIN_VALUE));
            }
            case "f32" -> {
                FloatTest test = comparedFloats(how);
                yield Lanes.test(d, a, b, (x, y) -> test.of(Lanes.value(x), Lanes.value(y)));
            }
            case "f64" -> {
                FloatTest test = comparedFloats(how);
                yield Lanes.testLong(d, a, b, (x, y) -> test.of(Lanes.wide(x), Lanes.wide(y)));
            }
            default -> null;
        };
    }

    private interface FloatTest {
        boolean of(double a, double b);
    }

    private static Lanes.IITest compared(String how) {
        return switch (how) {
            case "eq" -> (x, y) -> x == y;
            case "ne" -> (x, y) -> x != y;
            case "lt" -> (x, y) -> x < y;
            case "le" -> (x, y) -> x <= y;
            case "gt" -> (x, y) -> x > y;
            case "ge" -> (x, y) -> x >= y;
            default -> throw new PtxFault("unknown comparison %s", how);
        };
    }

    private static Lanes.LLTest comparedLong(String how) {
        return switch (how) {
            case "eq" -> (x, y) -> x == y;
            case "ne" -> (x, y) -> x != y;
            case "lt" -> (x, y) -> x < y;
            case "le" -> (x, y) -> x <= y;
            case "gt" -> (x, y) -> x > y;
            case "ge" -> (x, y) -> x >= y;
            default -> throw new PtxFault("unknown comparison %s", how);
        };
    }

    private static FloatTest comparedFloats(String how) {
        return switch (how) {
            case "eq" -> (x, y) -> x == y;
            // Ordered: not where one is no number.
            case "ne" -> (x, y) -> x < y || x > y;
            case "lt" -> (x, y) -> x < y;
            case "le" -> (x, y) -> x <= y;
            case "gt" -> (x, y) -> x > y;
            case "ge" -> (x, y) -> x >= y;
            case "equ" -> (x, y) -> !(x < y || x > y);
            case "neu" -> (x, y) -> x != y;
            case "ltu" -> (x, y) -> !(x >= y);
            case "leu" -> (x, y) -> !(x > y);
            case "gtu" -> (x, y) -> !(x <= y);
            case "geu" -> (x, y) -> !(x < y);
            case "nan" -> (x, y) -> Double.isNaN(x) || Double.isNaN(y);
            case "num" -> (x, y) -> !Double.isNaN(x) && !Double.isNaN(y);
            default -> throw new PtxFault("unknown comparison %s", how);
        };
    }

    private Op select(String type, List<String> o) {
        boolean wide = type.endsWith("64");
        int d = names.of(o.get(0), wide);
        int a = names.of(o.get(1), wide);
        int b = names.of(o.get(2), wide);
        int p = names.predicate(o.get(3));
        return wide
                ? Op.of((w, mask) -> {
                    int which = w.p[p];
                    for (int m = mask; m != 0; m &= m - 1) {
                        int i = Integer.numberOfTrailingZeros(m);
                        w.l[d + i] = ((which >>> i) & 1) != 0 ? w.l[a + i] : w.l[b + i];
                    }
                })
                : Op.of((w, mask) -> {
                    int which = w.p[p];
                    int[] r = w.r;
                    for (int m = mask; m != 0; m &= m - 1) {
                        int i = Integer.numberOfTrailingZeros(m);
                        r[d + i] = ((which >>> i) & 1) != 0 ? r[a + i] : r[b + i];
                    }
                });
    }
}
