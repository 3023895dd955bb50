package io.penstock.shard.backend.cuda.ptx;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/// What kernels reach by address: memory of the host at its own addresses, known piece by piece, so that an access
/// outside of all is told. Small pieces are not zeroed, but filled with what is no number.
public final class DeviceSpace implements AutoCloseable {
    /// All of memory; to be used with addresses that were looked up.
    static final MemorySegment ALL = all();

    static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED;
    static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED;
    static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED;

    private static final long ALIGNMENT = 256;
    private static final long LARGE = 16L << 20;
    private static final MethodHandle CALLOC =
            library("calloc", FunctionDescriptor.of(ValueLayout.ADDRESS, ValueLayout.JAVA_LONG, ValueLayout.JAVA_LONG));
    private static final MethodHandle FREE = library("free", FunctionDescriptor.ofVoid(ValueLayout.ADDRESS));

    @SuppressWarnings("restricted")
    private static MethodHandle library(String name, FunctionDescriptor descriptor) {
        Linker linker = Linker.nativeLinker();
        return linker.downcallHandle(linker.defaultLookup().findOrThrow(name), descriptor);
    }

    /// A piece of memory.
    static final class Region {
        final long base;
        /// Behind its last byte.
        final long end;

        private final Arena arena;
        private boolean gone;

        private Region(long base, long end, Arena arena) {
            this.base = base;
            this.end = end;
            this.arena = arena;
        }

        boolean holds(long address, int bytes) {
            return address >= base && address + bytes <= end && !gone;
        }
    }

    static final Region NONE = new Region(0, 0, null);
    /// Large memory that nobody has met since it was taken.
    private long fresh;

    private final TreeMap<Long, Region> regions = new TreeMap<>();

    @SuppressWarnings("restricted") // addresses are what kernels have
    private static MemorySegment all() {
        return MemorySegment.NULL.reinterpret(Long.MAX_VALUE);
    }

    /// @return memory, at a multiple of 256
    @SuppressWarnings("MustBeClosedChecker") // by who frees it
    public MemorySegment allocate(long bytes) {
        Arena arena = Arena.ofShared();
        MemorySegment segment;
        if (bytes > LARGE) {
            segment = untouched(arena, bytes);
            fresh = segment.address();
        } else {
            segment = arena.allocate(Math.max(1, bytes), ALIGNMENT);
            segment.fill((byte) 0xff);
        }
        regions.put(segment.address(), new Region(segment.address(), segment.address() + bytes, arena));
        return segment;
    }

    /// Much of large memory is never used: it takes no pages until it is.
    @SuppressWarnings("restricted")
    private static MemorySegment untouched(Arena arena, long bytes) {
        try {
            MemorySegment taken = (MemorySegment) CALLOC.invokeExact(1L, bytes + ALIGNMENT);
            if (taken.equals(MemorySegment.NULL)) {
                throw new OutOfMemoryError(bytes + " bytes");
            }
            long address = (taken.address() + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
            return MemorySegment.ofAddress(address).reinterpret(bytes, arena, _ -> free(taken));
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    private static void free(MemorySegment taken) {
        try {
            FREE.invokeExact(taken);
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    public void free(long address) {
        Region region = regions.remove(address);
        if (region == null) {
            throw new PtxFault("no memory begins at %x", address);
        }
        region.gone = true;
        region.arena.close();
    }

    /// Where these bytes lie, all of them.
    Region find(long address, long bytes) {
        fresh = 0;
        Map.Entry<Long, Region> entry = regions.floorEntry(address);
        Region region = entry == null ? NONE : entry.getValue();
        if (address + bytes > region.end) {
            throw new PtxFault(
                    "%d bytes at address %x are in no allocation; the one before is %x to %x",
                    bytes, address, region.base, region.end);
        }
        return region;
    }

    public void copy(long from, long to, long bytes) {
        if (bytes > 0) {
            find(from, bytes);
            find(to, bytes);
            MemorySegment.copy(ALL, from, ALL, to, bytes);
        }
    }

    public void zero(long address, long bytes) {
        // What was just taken is zero.
        if (bytes > 0 && address != fresh) {
            find(address, bytes);
            ALL.asSlice(address, bytes).fill((byte) 0);
        }
    }

    @Override
    public void close() {
        List.copyOf(regions.keySet()).forEach(this::free);
    }
}
