package io.penstock.shard.backend.cuda.ptx;

import java.util.List;

/// `cvt` and `mov`.
final class Conversions {
    private final Names names;

    Conversions(Names names) {
        this.names = names;
    }

    Op of(String opcode, String[] parts, List<String> o) {
        return switch (parts[0]) {
            case "cvt" -> convert(opcode, o);
            case "mov" -> move(parts[parts.length - 1], o);
            default -> null;
        };
    }

    private Op convert(String opcode, List<String> o) {
        switch (opcode) {
            case "cvt.rn.bf16x2.f32",
                    "cvt.rn.satfinite.f16x2.f32",
                    "cvt.rn.f16x2.f32",
                    "cvt.rn.satfinite.e4m3x2.f32" -> {
                int d = names.int32(o.get(0));
                int high = names.int32(o.get(1));
                int low = names.int32(o.get(2));
                return Lanes.i2(
                        d,
                        high,
                        low,
                        switch (opcode) {
                            case "cvt.rn.bf16x2.f32" ->
                                (x, y) -> (Numbers.toBf16(Lanes.value(x)) << 16) | Numbers.toBf16(Lanes.value(y));
                            case "cvt.rn.satfinite.f16x2.f32" ->
                                (x, y) -> (Numbers.toFiniteF16(Lanes.value(x)) << 16)
                                        | Numbers.toFiniteF16(Lanes.value(y));
                            case "cvt.rn.f16x2.f32" ->
                                (x, y) -> (Numbers.toF16(Lanes.value(x)) << 16) | Numbers.toF16(Lanes.value(y));
                            default -> (x, y) -> (Numbers.toE4m3(Lanes.value(x)) << 8) | Numbers.toE4m3(Lanes.value(y));
                        });
            }
            default -> {
                // Of one value, below.
            }
        }
        String to = o.get(0);
        String from = o.get(1);
        String[] parts = opcode.split("\\.");
        boolean toLong = parts[parts.length - 2].endsWith("64");
        boolean fromLong = parts[parts.length - 1].endsWith("64");
        int d = names.of(to, toLong);
        if (opcode.equals("cvt.s64.s32") && names.isLong(from)) {
            // Registers may be wider than what is taken of them.
            return Lanes.l1(d, names.int64(from), x -> (int) x);
        }
        int a = names.of(from, fromLong);
        return switch (opcode) {
            case "cvt.s64.s32" -> HotOps.widen(d, a);
            case "cvt.u64.u32" -> Lanes.iToL(d, a, x -> x & 0xffffffffL);
            case "cvt.u64.u16" -> Lanes.iToL(d, a, x -> x & 0xffffL);
            case "cvt.s64.s16" -> Lanes.iToL(d, a, x -> (short) x);
            case "cvt.u32.u64", "cvt.s32.s64" -> HotOps.narrow(d, a);
            case "cvt.u16.u64" -> Lanes.lToI(d, a, x -> (int) x & 0xffff);
            case "cvt.u16.u32", "cvt.u32.u16" -> Lanes.i1(d, a, x -> x & 0xffff);
            case "cvt.s32.s16" -> Lanes.i1(d, a, x -> (short) x);
            case "cvt.s32.s8" -> Lanes.i1(d, a, x -> (byte) x);
            case "cvt.u32.u8" -> Lanes.i1(d, a, x -> x & 0xff);
            case "cvt.s16.s8" -> Lanes.i1(d, a, x -> (byte) x & 0xffff);
            case "cvt.f32.f16" -> Lanes.i1(d, a, x -> Lanes.bits(Numbers.fromF16(x)));
            case "cvt.rn.f16.f32" -> Lanes.i1(d, a, x -> Numbers.toF16(Lanes.value(x)));
            case "cvt.rn.bf16.f32" -> Lanes.i1(d, a, x -> Numbers.toBf16(Lanes.value(x)));
            case "cvt.f32.bf16" -> Lanes.i1(d, a, x -> x << 16);
            case "cvt.rn.f16x2.e4m3x2" ->
                Lanes.i1(
                        d,
                        a,
                        x -> Numbers.toF16(Numbers.fromE4m3(x)) | (Numbers.toF16(Numbers.fromE4m3(x >>> 8)) << 16));
            case "cvt.sat.f32.f32" -> Lanes.f1(d, a, x -> Float.isNaN(x) ? 0 : Math.max(0, Math.min(1, x)));
            case "cvt.rni.f32.f32" -> Lanes.f1(d, a, x -> (float) Math.rint(x));
            case "cvt.rn.f32.u32" -> Lanes.i1(d, a, x -> Lanes.bits((float) (x & 0xffffffffL)));
            case "cvt.rn.f32.s32" -> Lanes.i1(d, a, x -> Lanes.bits((float) x));
            case "cvt.rn.f32.s16" -> Lanes.i1(d, a, x -> Lanes.bits((float) (short) x));
            case "cvt.rn.f32.u16" -> Lanes.i1(d, a, x -> Lanes.bits((float) (x & 0xffff)));
            case "cvt.rn.f32.s64" -> Lanes.lToI(d, a, x -> Lanes.bits((float) x));
            case "cvt.rzi.s32.f32" -> Lanes.i1(d, a, x -> (int) Lanes.value(x));
            case "cvt.rzi.u32.f32" ->
                Lanes.i1(d, a, x -> (int) Math.max(0, Math.min(0xffffffffL, (long) Lanes.value(x))));
            case "cvt.rni.s32.f32" -> Lanes.i1(d, a, x -> (int) Math.rint(Lanes.value(x)));
            case "cvt.f64.f32" -> Lanes.iToL(d, a, x -> Lanes.bits((double) Lanes.value(x)));
            case "cvt.rn.f32.f64" -> Lanes.lToI(d, a, x -> Lanes.bits((float) Lanes.wide(x)));
            case "cvt.rn.f64.s32" -> Lanes.iToL(d, a, x -> Lanes.bits((double) x));
            case "cvt.rn.f64.u32" -> Lanes.iToL(d, a, x -> Lanes.bits((double) (x & 0xffffffffL)));
            case "cvt.rn.f64.s64" -> Lanes.l1(d, a, x -> Lanes.bits((double) x));
            case "cvt.rn.f64.u64" -> Lanes.l1(d, a, x -> Lanes.bits(unsigned(x)));
            case "cvt.rni.s64.f64" -> Lanes.l1(d, a, x -> (long) Math.rint(Lanes.wide(x)));
            case "cvt.rni.s32.f64" -> Lanes.lToI(d, a, x -> (int) Math.rint(Lanes.wide(x)));
            case "cvt.rzi.s32.f64" -> Lanes.lToI(d, a, x -> (int) Lanes.wide(x));
            case "cvt.rzi.u64.f64" -> Lanes.l1(d, a, x -> toUnsigned(Lanes.wide(x)));
            default -> null;
        };
    }

    private static double unsigned(long x) {
        if (x >= 0) {
            return x;
        }
        // Half of it, the lost bit kept for the rounding.
        return 2 * (double) ((x >>> 1) | (x & 1));
    }

    private static long toUnsigned(double x) {
        if (!(x > 0)) {
            return 0;
        }
        return x >= 0x1p64 ? -1 : x < 0x1p63 ? (long) x : (long) (x - 0x1p63) ^ Long.MIN_VALUE;
    }

    private Op move(String type, List<String> o) {
        String to = o.get(0);
        String from = o.get(1);
        if (type.equals("pred")) {
            int d = names.predicate(to);
            if (from.startsWith("%p")) {
                int a = names.predicate(from);
                return Op.of((w, mask) -> w.decide(d, mask, w.p[a]));
            }
            int value = Names.number(from) == 0 ? 0 : -1;
            return Op.of((w, mask) -> w.decide(d, mask, value));
        }
        boolean wide = type.endsWith("64");
        if (from.startsWith("{")) {
            List<String> parts = list(from);
            if (wide) {
                int d = names.int64(to);
                int low = names.int32(parts.get(0));
                int high = names.int32(parts.get(1));
                return Lanes.iiToL(d, low, high, (x, y) -> ((long) y << 32) | (x & 0xffffffffL));
            }
            int d = names.int32(to);
            return Lanes.i2(
                    d, names.int32(parts.get(0)), names.int32(parts.get(1)), (x, y) -> (y << 16) | (x & 0xffff));
        }
        if (to.startsWith("{")) {
            List<String> parts = list(to);
            int low = names.int32(parts.get(0));
            int high = names.int32(parts.get(1));
            if (wide) {
                int a = names.int64(from);
                return Op.of((w, mask) -> {
                    for (int m = mask; m != 0; m &= m - 1) {
                        int i = Integer.numberOfTrailingZeros(m);
                        long value = w.l[a + i];
                        w.r[low + i] = (int) value;
                        w.r[high + i] = (int) (value >>> 32);
                    }
                });
            }
            int a = names.int32(from);
            return Op.of((w, mask) -> {
                for (int m = mask; m != 0; m &= m - 1) {
                    int i = Integer.numberOfTrailingZeros(m);
                    int value = w.r[a + i];
                    w.r[low + i] = value & 0xffff;
                    w.r[high + i] = value >>> 16;
                }
            });
        }
        if (from.equals("%globaltimer") || from.equals("%clock64")) {
            int d = names.int64(to);
            return Op.of((w, mask) -> {
                long now = w.launch.now();
                for (int m = mask; m != 0; m &= m - 1) {
                    w.l[d + Integer.numberOfTrailingZeros(m)] = now;
                }
            });
        }
        if (from.equals("%clock")) {
            int d = names.int32(to);
            return Op.of((w, mask) -> {
                int now = (int) w.launch.now();
                for (int m = mask; m != 0; m &= m - 1) {
                    w.r[d + Integer.numberOfTrailingZeros(m)] = now;
                }
            });
        }
        if (wide) {
            return HotOps.moveLong(names.int64(to), names.int64(from));
        }
        if (type.endsWith("16") && from.matches("-\\d+")) {
            // Registers of 16 bits have zeros above.
            return HotOps.move(names.int32(to), names.int32(Long.toString(Names.number(from) & 0xffff)));
        }
        return HotOps.move(names.int32(to), names.int32(from));
    }

    static List<String> list(String braces) {
        return PtxModule.split(braces.substring(1, braces.length() - 1));
    }
}
