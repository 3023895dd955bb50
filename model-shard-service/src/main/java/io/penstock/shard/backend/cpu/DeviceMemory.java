package io.penstock.shard.backend.cpu;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.Locale;
import java.util.Optional;

/// Large memory for weights and KV blocks: zeros, taken page by page as it is touched, on Linux in huge
/// pages where the kernel has them. A decode step walks all weights, and with small pages it waits for
/// the page table at every 4 KiB.
///
/// Source of the constants: Linux, `include/uapi/asm-generic/mman-common.h`.
final class DeviceMemory {
    private static final long HUGE_PAGE = 2L << 20;
    private static final int PROT_READ_WRITE = 3;
    private static final int MAP_PRIVATE_ANONYMOUS_NORESERVE = 0x2 | 0x20 | 0x4000;
    private static final int MADV_HUGEPAGE = 14;
    private static final long MAP_FAILED = -1;

    private DeviceMemory() {}

    /// @param bytes at least 1
    /// @return aligned to 64 bytes or more, freed with the arena
    /// @throws PenstockException (overloaded) if the machine does not have so much
    static MemorySegment allocate(long bytes, Arena arena) {
        Optional<Mmap> mmap = Mmap.ofMachine();
        if (mmap.isPresent()) {
            return mmap.get().allocate(bytes, arena);
        }
        try {
            return arena.allocate(bytes, 64);
        } catch (OutOfMemoryError e) {
            throw exhausted(bytes, e);
        }
    }

    /// Parts of one large allocation, each aligned to 64 bytes.
    static SegmentAllocator allocator(long bytes, Arena arena) {
        return SegmentAllocator.slicingAllocator(allocate(Math.max(bytes, 1), arena));
    }

    private static PenstockException exhausted(long bytes, Throwable cause) {
        return new PenstockException(
                ErrorCategory.OVERLOADED, cause, "this machine does not give %d bytes of memory", bytes);
    }

    @SuppressWarnings("restricted") // the signatures are those of the C library
    private record Mmap(MethodHandle map, MethodHandle unmap, MethodHandle advise) {
        static Optional<Mmap> ofMachine() {
            if (!System.getProperty("os.name").toLowerCase(Locale.ROOT).contains("linux")) {
                return Optional.empty();
            }
            Linker linker = Linker.nativeLinker();
            SymbolLookup libc = linker.defaultLookup();
            Optional<MemorySegment> map = libc.find("mmap");
            Optional<MemorySegment> unmap = libc.find("munmap");
            Optional<MemorySegment> advise = libc.find("madvise");
            if (map.isEmpty() || unmap.isEmpty() || advise.isEmpty()) {
                return Optional.empty();
            }
            ValueLayout.OfLong word = ValueLayout.JAVA_LONG;
            ValueLayout.OfInt number = ValueLayout.JAVA_INT;
            return Optional.of(new Mmap(
                    linker.downcallHandle(
                            map.get(), FunctionDescriptor.of(word, word, word, number, number, number, word)),
                    linker.downcallHandle(unmap.get(), FunctionDescriptor.of(number, word, word)),
                    linker.downcallHandle(advise.get(), FunctionDescriptor.of(number, word, word, number))));
        }

        MemorySegment allocate(long bytes, Arena arena) {
            // Room to begin at a huge page's border.
            long mapped = Math.addExact(bytes, HUGE_PAGE);
            try {
                long address =
                        (long) map.invokeExact(0L, mapped, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS_NORESERVE, -1, 0L);
                if (address == MAP_FAILED) {
                    throw exhausted(bytes, null);
                }
                long aligned = (address + HUGE_PAGE - 1) & -HUGE_PAGE;
                // Advice: a kernel without huge pages refuses it, and all works with small ones.
                @SuppressWarnings("unused")
                int ignored = (int) advise.invokeExact(aligned, bytes, MADV_HUGEPAGE);
                return MemorySegment.ofAddress(aligned).reinterpret(bytes, arena, segment -> unmap(address, mapped));
            } catch (RuntimeException | Error e) {
                throw e;
            } catch (Throwable e) {
                throw new IllegalStateException("mmap", e);
            }
        }

        private void unmap(long address, long mapped) {
            try {
                int result = (int) unmap.invokeExact(address, mapped);
                if (result != 0) {
                    throw new IllegalStateException("munmap of %d bytes failed".formatted(mapped));
                }
            } catch (RuntimeException | Error e) {
                throw e;
            } catch (Throwable e) {
                throw new IllegalStateException("munmap", e);
            }
        }
    }
}
