package io.penstock.shard.backend.cuda.ptx;

import java.util.List;

/// Loads, stores and atomic operations.
final class MemoryOps {
    /// Where generic addresses of other spaces lie.
    static final long SHARED_WINDOW = 1L << 60;

    static final long LOCAL_WINDOW = 2L << 60;
    static final long PARAMETER_WINDOW = 3L << 60;
    private static final long WINDOW = 7L << 60;

    private final Names names;

    MemoryOps(Names names) {
        this.names = names;
    }

    Op of(String opcode, String[] parts, List<String> o) {
        return switch (parts[0]) {
            case "ld" -> load(parts, o);
            case "st" -> store(parts, o);
            case "atom" -> atomic(parts, o.get(0), o.subList(1, o.size()));
            case "red" -> atomic(parts, "_", o);
            default -> null;
        };
    }

    private static String space(String[] parts) {
        for (String part : parts) {
            switch (part) {
                case "global", "shared", "local", "param" -> {
                    return part;
                }
                case "shared::cta" -> {
                    return "shared";
                }
                default -> {
                    // Another modifier.
                }
            }
        }
        return "generic";
    }

    private static boolean has(String[] parts, String... any) {
        for (String part : parts) {
            for (String one : any) {
                if (part.equals(one)) {
                    return true;
                }
            }
        }
        return false;
    }

    /// What loads and stores have in common.
    private abstract static class Access extends Op {
        final String space;
        final int base;
        final boolean wideBase;
        final long offset;
        final int size;
        final int[] values;
        final boolean wide;
        /// Not ordered with others' accesses, on purpose.
        final boolean apart;
        private DeviceSpace.Region last = DeviceSpace.NONE;

        Access(Names names, String[] parts, String address, List<String> registers) {
            space = space(parts);
            String type = parts[parts.length - 1];
            size = PtxModule.elementBytes(type);
            String[] where = Names.address(address);
            wideBase = !space.equals("shared") || names.isLong(where[0]);
            base = names.of(where[0], wideBase);
            offset = Names.number(where[1]);
            wide = size == 8;
            apart = has(parts, "volatile");
            values = new int[registers.size()];
            for (int i = 0; i < values.length; i++) {
                values[i] = names.of(registers.get(i), names.isLong(registers.get(i)) || wide);
            }
        }

        final long address(Warp w, int lane) {
            return (wideBase ? w.l[base + lane] : w.r[base + lane]) + offset;
        }

        /// @return the address as the host has it
        final long global(Warp w, long address, int bytes) {
            if ((address & bytes - 1) != 0) {
                throw new PtxFault("address %x is no multiple of %d", address, bytes);
            }
            if ((address & WINDOW) == PARAMETER_WINDOW) {
                return w.launch.parameters(address - PARAMETER_WINDOW, bytes);
            }
            if (!last.holds(address, bytes)) {
                last = w.launch.space.find(address, bytes);
            }
            return address;
        }
    }

    private Op load(String[] parts, List<String> o) {
        String type = parts[parts.length - 1];
        List<String> registers = o.get(0).startsWith("{") ? Conversions.list(o.get(0)) : List.of(o.get(0));
        boolean signed = type.startsWith("s");
        boolean polls = has(parts, "acquire", "volatile", "relaxed");
        boolean narrow = registers.getFirst().startsWith("%rs");
        return new Access(names, parts, o.get(1), registers) {
            private final boolean sharedOnly = space.equals("shared");
            private final boolean into64 = names.isLong(registers.getFirst());

            @Override
            void run(Warp w, int mask) {
                w.yielding |= polls;
                int bytes = size * values.length;
                for (int m = mask; m != 0; m &= m - 1) {
                    int lane = Integer.numberOfTrailingZeros(m);
                    long address = address(w, lane);
                    if (sharedOnly || (address & WINDOW) == SHARED_WINDOW) {
                        shared(w, lane, (int) address, bytes);
                    } else if ((address & WINDOW) == LOCAL_WINDOW) {
                        local(w, lane, (int) address);
                    } else {
                        global(w, lane, global(w, address, bytes));
                    }
                }
            }

            private void shared(Warp w, int lane, int address, int bytes) {
                SharedMemory memory = w.block.shared;
                int at = apart ? memory.readable(address, bytes) : memory.read(w, address, bytes);
                for (int value : values) {
                    put(
                            w,
                            value + lane,
                            switch (size) {
                                case 1 -> memory.byteAt(at);
                                case 2 -> memory.shortAt(at);
                                case 4 -> memory.intAt(at);
                                default -> memory.longAt(at);
                            });
                    at += size;
                }
            }

            private void local(Warp w, int lane, int offset) {
                for (int value : values) {
                    put(w, value + lane, w.local(lane, offset, size));
                    offset += size;
                }
            }

            private void global(Warp w, int lane, long at) {
                for (int value : values) {
                    put(
                            w,
                            value + lane,
                            switch (size) {
                                case 1 -> DeviceSpace.ALL.get(java.lang.foreign.ValueLayout.JAVA_BYTE, at) & 0xff;
                                case 2 -> DeviceSpace.ALL.get(DeviceSpace.SHORT, at) & 0xffff;
                                case 4 -> DeviceSpace.ALL.get(DeviceSpace.INT, at);
                                default -> DeviceSpace.ALL.get(DeviceSpace.LONG, at);
                            });
                    at += size;
                }
            }

            private void put(Warp w, int place, long value) {
                if (into64) {
                    w.l[place] = size == 8
                            ? value
                            : signed
                                    ? value << (64 - 8 * size) >> (64 - 8 * size)
                                    : size == 4 ? value & 0xffffffffL : value;
                    return;
                }
                int narrowed = (int) value;
                if (signed && size < 4) {
                    narrowed = narrowed << (32 - 8 * size) >> (32 - 8 * size);
                    narrowed = narrow ? narrowed & 0xffff : narrowed;
                }
                w.r[place] = narrowed;
            }
        };
    }

    private Op store(String[] parts, List<String> o) {
        List<String> registers = o.get(1).startsWith("{") ? Conversions.list(o.get(1)) : List.of(o.get(1));
        return new Access(names, parts, o.get(0), registers) {
            private final boolean sharedOnly = space.equals("shared");
            private final boolean from64 = size == 8 || names.isLong(registers.getFirst());

            @Override
            void run(Warp w, int mask) {
                w.launch.progress++;
                int bytes = size * values.length;
                for (int m = mask; m != 0; m &= m - 1) {
                    int lane = Integer.numberOfTrailingZeros(m);
                    long address = address(w, lane);
                    if (sharedOnly || (address & WINDOW) == SHARED_WINDOW) {
                        shared(w, lane, (int) address, bytes);
                    } else if ((address & WINDOW) == LOCAL_WINDOW) {
                        int at = (int) address;
                        for (int value : values) {
                            w.putLocal(lane, at, size, value(w, value + lane));
                            at += size;
                        }
                    } else {
                        global(w, lane, global(w, address, bytes));
                    }
                }
            }

            private long value(Warp w, int place) {
                return from64 ? w.l[place] : w.r[place];
            }

            private void shared(Warp w, int lane, int address, int bytes) {
                SharedMemory memory = w.block.shared;
                int at = apart ? memory.writable(address, bytes) : memory.write(w, address, bytes);
                for (int value : values) {
                    long number = value(w, value + lane);
                    switch (size) {
                        case 1 -> memory.bytes[at] = (byte) number;
                        case 2 -> memory.putShort(at, (int) number);
                        case 4 -> memory.putInt(at, (int) number);
                        default -> memory.putLong(at, number);
                    }
                    at += size;
                }
            }

            private void global(Warp w, int lane, long at) {
                for (int value : values) {
                    putGlobal(at, size, value(w, value + lane));
                    at += size;
                }
            }
        };
    }

    private static void putGlobal(long at, int size, long number) {
        switch (size) {
            case 1 -> DeviceSpace.ALL.set(java.lang.foreign.ValueLayout.JAVA_BYTE, at, (byte) number);
            case 2 -> DeviceSpace.ALL.set(DeviceSpace.SHORT, at, (short) number);
            case 4 -> DeviceSpace.ALL.set(DeviceSpace.INT, at, (int) number);
            default -> DeviceSpace.ALL.set(DeviceSpace.LONG, at, number);
        }
    }

    private interface Change {
        long of(long old, long operand, long other);
    }

    private Op atomic(String[] parts, String result, List<String> o) {
        String type = parts[parts.length - 1];
        String what = parts[parts.length - 2];
        Change change = change(what, type);
        if (change == null) {
            return null;
        }
        boolean wide = type.endsWith("64");
        int d = result.equals("_") ? -1 : names.of(result, wide);
        int operand = names.of(o.get(1), wide);
        int other = o.size() > 2 ? names.of(o.get(2), wide) : operand;
        return new Access(names, parts, o.get(0), List.of()) {
            private final boolean sharedOnly = space.equals("shared");

            @Override
            void run(Warp w, int mask) {
                w.launch.progress++;
                // Others may come between; and where nothing changes this may be a lock's loop.
                w.yielding |= what.equals("cas");
                for (int m = mask; m != 0; m &= m - 1) {
                    int lane = Integer.numberOfTrailingZeros(m);
                    long address = address(w, lane);
                    long a = wide ? w.l[operand + lane] : w.r[operand + lane];
                    long b = wide ? w.l[other + lane] : w.r[other + lane];
                    long old;
                    if (sharedOnly || (address & WINDOW) == SHARED_WINDOW) {
                        SharedMemory memory = w.block.shared;
                        int at = memory.atomic(w, (int) address, size);
                        old = wide ? memory.longAt(at) : memory.intAt(at);
                        long changed = change.of(old, a, b);
                        if (wide) {
                            memory.putLong(at, changed);
                        } else {
                            memory.putInt(at, (int) changed);
                        }
                    } else {
                        long at = global(w, address, size);
                        old = wide
                                ? DeviceSpace.ALL.get(DeviceSpace.LONG, at)
                                : DeviceSpace.ALL.get(DeviceSpace.INT, at);
                        putGlobal(at, size, change.of(old, a, b));
                    }
                    if (d >= 0) {
                        if (wide) {
                            w.l[d + lane] = old;
                        } else {
                            w.r[d + lane] = (int) old;
                        }
                    }
                }
            }
        };
    }

    private static Change change(String what, String type) {
        boolean wide = type.endsWith("64");
        return switch (what) {
            case "add" ->
                type.equals("f32")
                        ? (old, a, _) -> Lanes.bits(Lanes.value((int) old) + Lanes.value((int) a))
                        : type.startsWith("f") ? null : (old, a, _) -> old + a;
            case "or" -> (old, a, _) -> old | a;
            case "and" -> (old, a, _) -> old & a;
            case "exch" -> (_, a, _) -> a;
            case "cas" -> (old, a, b) -> old == a ? b : old;
            case "min" ->
                type.startsWith("u")
                        ? (old, a, _) -> less(old, a, wide) ? old : a
                        : type.startsWith("s") ? (old, a, _) -> Math.min(old, a) : null;
            case "max" ->
                type.startsWith("u")
                        ? (old, a, _) -> less(old, a, wide) ? a : old
                        : type.startsWith("s") ? (old, a, _) -> Math.max(old, a) : null;
            default -> null;
        };
    }

    private static boolean less(long a, long b, boolean wide) {
        return wide ? Long.compareUnsigned(a, b) < 0 : Integer.compareUnsigned((int) a, (int) b) < 0;
    }
}
