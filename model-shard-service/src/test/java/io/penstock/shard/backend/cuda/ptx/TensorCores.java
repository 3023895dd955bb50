package io.penstock.shard.backend.cuda.ptx;

import io.penstock.shard.backend.cuda.ptx.Op.Kind;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// Products of small matrices, and the loads that bring them. Sums are kept in double and rounded once an instruction:
/// the device's own order and rounding are not documented, so results agree to its precision only.
final class TensorCores {
    private static final Pattern WIDE = Pattern.compile(
            "wgmma\\.mma_async\\.sync\\.aligned\\.m64n(\\d+)k(16|32)\\.f32\\.(bf16|f16|e4m3)\\.(bf16|f16|e4m3)");

    private final Names names;

    TensorCores(Names names) {
        this.names = names;
    }

    Op of(String opcode, List<String> o) {
        if (opcode.startsWith("wgmma.mma_async")) {
            return wide(opcode, o);
        }
        return switch (opcode) {
            case "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32" -> multiply(o, true);
            case "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32" -> multiply(o, false);
            case "ldmatrix.sync.aligned.m8n8.x4.shared.b16" -> load(o, false);
            case "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16" -> load(o, true);
            case "wgmma.fence.sync.aligned" -> Op.of(Kind.TOGETHER, (_, _) -> {});
            case "setmaxnreg.dec.sync.aligned.u32", "setmaxnreg.inc.sync.aligned.u32" ->
                Op.of(Kind.TOGETHER, (_, _) -> {});
            case "wgmma.commit_group.sync.aligned" ->
                Op.of(Kind.TOGETHER, (w, _) -> w.products().commit(w));
            case "wgmma.wait_group.sync.aligned" -> {
                int left = Integer.parseInt(o.get(0));
                yield Op.of(Kind.TOGETHER, (w, _) -> w.again = !w.products().await(w, left));
            }
            default -> null;
        };
    }

    private static void all(int mask) {
        if (mask != Op.ALL) {
            throw new PtxFault("threads %08x alone", mask);
        }
    }

    private int[] registers(String braces) {
        List<String> list = Conversions.list(braces);
        int[] places = new int[list.size()];
        for (int i = 0; i < places.length; i++) {
            places[i] = names.int32(list.get(i));
        }
        return places;
    }

    private static float value(int bits, boolean bf16) {
        return bf16 ? Numbers.fromBf16(bits & 0xffff) : Numbers.fromF16(bits & 0xffff);
    }

    /// What products need besides their operands, one a launch.
    static final class Scratch {
        final double[] a = new double[16 * 32];
        final double[] b = new double[32 * 256];
        final double[] c = new double[16 * 256];
    }

    /// A of 16 x 16 as lanes hold it.
    private static void fragment(Warp w, int[] from, boolean bf16, double[] a) {
        for (int lane = 0; lane < Warp.LANES; lane++) {
            int row = lane / 4;
            int column = lane % 4 * 2;
            for (int i = 0; i < 4; i++) {
                int two = w.r[from[i] + lane];
                int at = (row + i % 2 * 8) * 16 + column + i / 2 * 8;
                a[at] = value(two, bf16);
                a[at + 1] = value(two >>> 16, bf16);
            }
        }
    }

    private Op multiply(List<String> o, boolean bf16) {
        int[] d = registers(o.get(0));
        int[] from = registers(o.get(1));
        int[] by = registers(o.get(2));
        int[] c = registers(o.get(3));
        return Op.of(Kind.TOGETHER, (w, mask) -> {
            all(mask);
            Scratch scratch = w.launch.scratch;
            double[] a = scratch.a;
            double[] b = scratch.b;
            double[] sums = scratch.c;
            fragment(w, from, bf16, a);
            for (int lane = 0; lane < Warp.LANES; lane++) {
                int n = lane / 4;
                int k = lane % 4 * 2;
                for (int i = 0; i < 2; i++) {
                    int two = w.r[by[i] + lane];
                    b[(k + i * 8) * 8 + n] = value(two, bf16);
                    b[(k + i * 8 + 1) * 8 + n] = value(two >>> 16, bf16);
                }
                int at = lane / 4 * 8 + lane % 4 * 2;
                sums[at] = Lanes.value(w.r[c[0] + lane]);
                sums[at + 1] = Lanes.value(w.r[c[1] + lane]);
                sums[at + 64] = Lanes.value(w.r[c[2] + lane]);
                sums[at + 65] = Lanes.value(w.r[c[3] + lane]);
            }
            multiply(a, b, sums, 16, 8);
            for (int lane = 0; lane < Warp.LANES; lane++) {
                int at = lane / 4 * 8 + lane % 4 * 2;
                w.r[d[0] + lane] = Lanes.bits((float) sums[at]);
                w.r[d[1] + lane] = Lanes.bits((float) sums[at + 1]);
                w.r[d[2] + lane] = Lanes.bits((float) sums[at + 64]);
                w.r[d[3] + lane] = Lanes.bits((float) sums[at + 65]);
            }
        });
    }

    /// sums[16, n] += a[16, k] b[k, n]
    private static void multiply(double[] a, double[] b, double[] sums, int k, int n) {
        for (int row = 0; row < 16; row++) {
            int to = row * n;
            for (int i = 0; i < k; i++) {
                double factor = a[row * k + i];
                int from = i * n;
                for (int j = 0; j < n; j++) {
                    sums[to + j] += factor * b[from + j];
                }
            }
        }
    }

    private Op load(List<String> o, boolean transposed) {
        int[] d = registers(o.get(0));
        String[] where = Names.address(o.get(1));
        int address = names.int32(where[0]);
        int offset = (int) Names.number(where[1]);
        return Op.of(Kind.TOGETHER, (w, mask) -> {
            all(mask);
            SharedMemory shared = w.block.shared;
            int[] rows = w.launch.rows;
            for (int lane = 0; lane < Warp.LANES; lane++) {
                rows[lane] = shared.readRow(w, w.r[address + lane] + offset);
            }
            for (int matrix = 0; matrix < 4; matrix++) {
                for (int lane = 0; lane < Warp.LANES; lane++) {
                    int first = lane / 4;
                    int second = lane % 4 * 2;
                    w.r[d[matrix] + lane] = transposed
                            ? shared.shortAt(rows[matrix * 8 + second] + 2 * first)
                                    | shared.shortAt(rows[matrix * 8 + second + 1] + 2 * first) << 16
                            : shared.intAt(rows[matrix * 8 + first] + 2 * second);
                }
            }
        });
    }

    /// A quarter, 16 rows of 64, of a warpgroup's product.
    private Op wide(String opcode, List<String> o) {
        Matcher matcher = WIDE.matcher(opcode);
        if (!matcher.matches() || !matcher.group(3).equals(matcher.group(4))) {
            return null;
        }
        int n = Integer.parseInt(matcher.group(1));
        int k = Integer.parseInt(matcher.group(2));
        String type = matcher.group(3);
        if (!o.get(4).equals("1") || !o.get(5).equals("1")) {
            return null;
        }
        int[] d = registers(o.get(0));
        if (d.length != n / 2) {
            throw new PtxFault("%d registers for %d columns", d.length, n);
        }
        int[] fragment = o.get(1).startsWith("{") ? registers(o.get(1)) : null;
        // Of the operands in shared memory, in their order, of types of 16 bits: whether they are transposed.
        List<String> transposed = o.subList(6, o.size());
        boolean columnsAsStored = !transposed.isEmpty() && transposed.getLast().equals("1");
        if (transposed.stream().anyMatch(flag -> !flag.matches("[01]"))
                || (transposed.size() > 1 && !transposed.getFirst().equals("0"))) {
            return null;
        }
        int rows = fragment == null ? names.int64(o.get(1)) : -1;
        int columns = names.int64(o.get(2));
        int adds = names.predicate(o.get(3));
        int quarter = 16;
        return Op.of(Kind.TOGETHER, (w, mask) -> {
            all(mask);
            long rowsAt = fragment == null ? uniform(w, rows) : 0;
            long columnsAt = uniform(w, columns);
            int add = w.p[adds];
            if (add != 0 && add != -1) {
                throw new PtxFault("threads differ in whether they add");
            }
            w.products().add(w, () -> {
                Scratch scratch = w.launch.scratch;
                if (fragment == null) {
                    bring(w, rowsAt, w.number % 4 * quarter, quarter, k, type, scratch.a, false);
                } else {
                    fragment(w, fragment, type.equals("bf16"), scratch.a);
                }
                if (columnsAsStored) {
                    bringStored(w, columnsAt, n, type.equals("bf16"), scratch.b);
                } else {
                    bring(w, columnsAt, 0, n, k, type, scratch.b, true);
                }
                for (int lane = 0; lane < Warp.LANES; lane++) {
                    for (int i = 0; i < d.length; i++) {
                        scratch.c[place(lane, i, n)] = add == 0 ? 0 : Lanes.value(w.r[d[i] + lane]);
                    }
                }
                multiply(scratch.a, scratch.b, scratch.c, k, n);
                for (int lane = 0; lane < Warp.LANES; lane++) {
                    for (int i = 0; i < d.length; i++) {
                        w.r[d[i] + lane] = Lanes.bits((float) scratch.c[place(lane, i, n)]);
                    }
                }
            });
        });
    }

    private static int place(int lane, int i, int n) {
        int row = lane / 4 + i / 2 % 2 * 8;
        return row * n + i / 4 * 8 + lane % 4 * 2 + i % 2;
    }

    private static long uniform(Warp w, int register) {
        long value = w.l[register];
        for (int lane = 1; lane < Warp.LANES; lane++) {
            if (w.l[register + lane] != value) {
                throw new PtxFault("threads give different matrices: %x, %x", value, w.l[register + lane]);
            }
        }
        return value;
    }

    /// 16 rows of n columns out of a matrix in shared memory whose rows have 128 bytes, permuted by 16: each 64 columns
    /// lie apart.
    private static void bringStored(Warp w, long descriptor, int n, boolean bf16, double[] to) {
        SharedMemory shared = w.block.shared;
        int start = start(descriptor);
        int apart = (int) (descriptor >>> 16 & 0x3fff) << 4;
        int stride = (int) (descriptor >>> 32 & 0x3fff) << 4;
        for (int row = 0; row < 16; row++) {
            for (int column = 0; column < n; column += 8) {
                int plain = start + column / 64 * apart + row / 8 * stride + row % 8 * 128 + column % 64 * 2;
                int at = shared.readForProduct(w, plain ^ (plain >> 7 & 7) << 4, 16);
                for (int i = 0; i < 8; i++) {
                    to[row * n + column + i] = value(shared.shortAt(at + 2 * i), bf16);
                }
            }
        }
    }

    private static int start(long descriptor) {
        int swizzle = (int) (descriptor >>> 62);
        if (swizzle != 1 || (descriptor >>> 49 & 7) != 0) {
            throw new PtxFault("matrix descriptor %x: only rows of 128 bytes, permuted, are interpreted", descriptor);
        }
        return (int) (descriptor & 0x3fff) << 4;
    }

    /// Rows of 32 bytes out of a matrix in shared memory whose rows have 128, permuted by 16.
    private static void bring(
            Warp w, long descriptor, int first, int count, int k, String type, double[] to, boolean transposed) {
        SharedMemory shared = w.block.shared;
        int start = start(descriptor);
        int stride = (int) (descriptor >>> 32 & 0x3fff) << 4;
        int size = 32 / k;
        for (int row = 0; row < count; row++) {
            int line = first + row;
            int address = start + line / 8 * stride + line % 8 * 128;
            for (int half = 0; half < 2; half++) {
                int plain = address + 16 * half;
                int at = shared.readForProduct(w, plain ^ (plain >> 7 & 7) << 4, 16);
                for (int i = 0; i < k / 2; i++) {
                    int column = half * k / 2 + i;
                    double value = switch (type) {
                        case "bf16" -> Numbers.fromBf16(shared.shortAt(at + size * i));
                        case "f16" -> Numbers.fromF16(shared.shortAt(at + size * i));
                        default -> Numbers.fromE4m3(shared.byteAt(at + size * i));
                    };
                    to[transposed ? column * count + row : row * k + column] = value;
                }
            }
        }
    }
}
