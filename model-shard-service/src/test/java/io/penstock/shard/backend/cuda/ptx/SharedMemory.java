package io.penstock.shard.backend.cuda.ptx;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.util.Arrays;

/// A block's shared memory. Each byte knows whether it was written, is about to be by a copy that is on its way, or is
/// part of a barrier; reading any other is a fault, where not said otherwise.
final class SharedMemory {
    /// As on the device, where the system keeps the first bytes.
    static final int BASE = 1_024;

    /// `-Dpenstock.ptx.unwritten=poison`: what was never written may be read, and is no number. For kernels that load
    /// more than they look at.
    private static final boolean LENIENT =
            System.getProperty("penstock.ptx.unwritten", "fault").equals("poison");

    static final byte UNWRITTEN = 0;
    static final byte WRITTEN = 1;
    static final byte COMING = 2;
    static final byte BARRIER = 3;

    private static final VarHandle SHORTS =
            MethodHandles.byteArrayViewVarHandle(short[].class, ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle INTS = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle LONGS = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
    private static final int WRITTEN_4 = 0x01010101;
    private static final long WRITTEN_8 = 0x0101010101010101L;

    final byte[] bytes;
    private final byte[] states;

    final Races races;

    SharedMemory(int size, Clocks clocks) {
        races = new Races(clocks, size);
        bytes = new byte[size + 16];
        states = new byte[size + 16];
        Arrays.fill(bytes, (byte) 0xff);
        Arrays.fill(states, size, size + 16, BARRIER);
    }

    /// Index of an address.
    private int index(int address, int size) {
        int at = address - BASE;
        if (at < 0 || at > bytes.length - 16 - size) {
            throw new PtxFault("%d bytes at shared address %d, of %d from %d", size, address, bytes.length - 16, BASE);
        }
        if ((address & size - 1) != 0) {
            throw new PtxFault("shared address %d is no multiple of %d", address, size);
        }
        return at;
    }

    /// For one of a warp's threads.
    ///
    /// @param size 1, 2, 4, 8 or 16
    /// @return index of the first byte
    int read(Warp warp, int address, int size) {
        int at = readable(address, size);
        races.read(warp.actor, at, size);
        return at;
    }

    /// For a row of `ldmatrix`, which may bring rows that nobody looks at: what was never written is no number then.
    int readRow(Warp warp, int address) {
        int at = index(address, 16);
        if ((long) LONGS.get(states, at) == 0 && (long) LONGS.get(states, at + 8) == 0) {
            return at;
        }
        return read(warp, address, 16);
    }

    /// For a warp's part of its warpgroup's product.
    int readForProduct(Warp warp, int address, int size) {
        int at = readable(address, size);
        races.read(warp.actor, at, size, warp.productActor, warp.products().current());
        return at;
    }

    /// For a store that a warp has started: until that is waited for, nobody may write here.
    ///
    /// @param count of the warp's stores, with this
    void readForStore(Warp warp, int address, int size, int count) {
        int at = 0;
        for (int piece = size - 16; piece >= 0; piece -= 16) {
            at = readable(address + piece, 16);
        }
        races.read(warp.actor, at, size, warp.storeActor, count);
    }

    /// The same whatever other warps do.
    int readable(int address, int size) {
        int at = index(address, size);
        boolean good = switch (size) {
            case 1 -> states[at] == WRITTEN;
            case 2 -> states[at] == WRITTEN && states[at + 1] == WRITTEN;
            case 4 -> (int) INTS.get(states, at) == WRITTEN_4;
            case 8 -> (long) LONGS.get(states, at) == WRITTEN_8;
            default -> (long) LONGS.get(states, at) == WRITTEN_8 && (long) LONGS.get(states, at + 8) == WRITTEN_8;
        };
        if (!good && !(LENIENT && isUnwritten(at, size))) {
            throw unreadable(address, at, size);
        }
        return at;
    }

    private boolean isUnwritten(int at, int size) {
        for (int i = at; i < at + size; i++) {
            if (states[i] > WRITTEN) {
                return false;
            }
        }
        return true;
    }

    private PtxFault unreadable(int address, int at, int size) {
        int bad = at;
        while (bad < at + size - 1 && states[bad] == WRITTEN) {
            bad++;
        }
        return new PtxFault(
                "reads shared address %d, byte %d of which %s",
                address,
                bad - at,
                switch (states[bad]) {
                    case UNWRITTEN -> "was never written";
                    case COMING -> "a copy on its way is about to write";
                    default -> "belongs to a barrier";
                });
    }

    int write(Warp warp, int address, int size) {
        int at = writable(address, size);
        races.write(warp.actor, at, size, warp.line());
        return at;
    }

    int writable(int address, int size) {
        int at = index(address, size);
        for (int i = at; i < at + size; i++) {
            if (states[i] >= COMING) {
                throw new PtxFault(
                        "writes shared address %d, which %s",
                        address, states[i] == COMING ? "a copy on its way is about to write" : "belongs to a barrier");
            }
            states[i] = WRITTEN;
        }
        return at;
    }

    /// For a read and a write at once, that others like it may meet.
    int atomic(Warp warp, int address, int size) {
        int at = readable(address, size);
        races.atomic(warp.actor, at, size, warp.line());
        return at;
    }

    /// A copy that a warp has started is on its way.
    void expect(Warp warp, int address, int size) {
        int at = mark(address, size, COMING);
        races.ordered(warp.actor, at, size, false);
    }

    /// It has come.
    ///
    /// @param actor who brings it, and
    /// @param clock when, as [Clocks] has it
    /// @return index of its first byte
    int land(int address, int size, int actor, int clock, int line) {
        int at = mark(address, size, WRITTEN);
        races.land(actor, clock, at, size, line);
        return at;
    }

    private int mark(int address, int size, byte state) {
        int at = address - BASE;
        if (at < 0 || at + size > bytes.length - 16) {
            throw new PtxFault(
                    "a copy of %d bytes to shared address %d, of %d from %d", size, address, bytes.length - 16, BASE);
        }
        for (int i = at; i < at + size; i++) {
            if (state == COMING && states[i] >= COMING) {
                throw new PtxFault("a copy to shared address %d, which another copy or a barrier has", address);
            }
            states[i] = state;
        }
        return at;
    }

    /// Makes eight bytes a barrier's.
    int barrier(int address) {
        int at = index(address, 8);
        Arrays.fill(states, at, at + 8, BARRIER);
        return at / 8;
    }

    int barrierAt(int address) {
        int at = index(address, 8);
        if (states[at] != BARRIER) {
            throw new PtxFault("no barrier was made at shared address %d", address);
        }
        return at / 8;
    }

    int byteAt(int at) {
        return bytes[at] & 0xff;
    }

    int shortAt(int at) {
        return (short) SHORTS.get(bytes, at) & 0xffff;
    }

    int intAt(int at) {
        return (int) INTS.get(bytes, at);
    }

    long longAt(int at) {
        return (long) LONGS.get(bytes, at);
    }

    void putShort(int at, int value) {
        SHORTS.set(bytes, at, (short) value);
    }

    void putInt(int at, int value) {
        INTS.set(bytes, at, value);
    }

    void putLong(int at, long value) {
        LONGS.set(bytes, at, value);
    }
}
