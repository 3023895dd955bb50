package io.penstock.shard.backend.cuda;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/// A communicator of NCCL 2, the library that is installed. All calls put work on a stream and may be captured;
/// f32 throughout.
final class Nccl {
    /// Bytes of what the ranks of a communicator must know to find each other.
    static final int ID_BYTES = 128;

    private static final int FLOAT32 = 7;
    private static final int SUM = 0;

    private final long communicator;

    private Nccl(long communicator) {
        this.communicator = communicator;
    }

    /// @throws PenstockException (unavailable) if there is no such library
    static byte[] newId() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment id = arena.allocate(Library.ID);
            check("ncclGetUniqueId", (int) Library.GET_ID.invokeExact(id));
            return id.toArray(JAVA_BYTE);
        } catch (Throwable e) {
            throw rethrown(e);
        }
    }

    /// @throws PenstockException (unavailable) naming what was looked for, if there is no such library
    static void require() {
        // Its initialisation fails with an Error that would pass for this process' own.
        NativeLibrary.find(Library.NAME);
    }

    /// Blocks until all ranks have come, or one of them is gone. The calling thread's device is the rank's.
    static Nccl join(byte[] id, int rank, int ranks) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment bytes = arena.allocate(Library.ID);
            MemorySegment.copy(id, 0, bytes, JAVA_BYTE, 0, ID_BYTES);
            MemorySegment out = arena.allocate(JAVA_LONG);
            check("ncclCommInitRank", (int) Library.INIT.invokeExact(out, ranks, bytes, rank));
            return new Nccl(out.get(JAVA_LONG, 0));
        } catch (Throwable e) {
            throw rethrown(e);
        }
    }

    /// Sums `count` values over all ranks, in place.
    void allReduce(long values, long count, long stream) {
        try {
            check("ncclAllReduce", (int)
                    Library.ALL_REDUCE.invokeExact(values, values, count, FLOAT32, SUM, communicator, stream));
        } catch (Throwable e) {
            throw rethrown(e);
        }
    }

    /// Brings what `root` has at `from` to all ranks' `to`.
    void broadcast(long from, long to, long count, int root, long stream) {
        try {
            check("ncclBroadcast", (int)
                    Library.BROADCAST.invokeExact(from, to, count, FLOAT32, root, communicator, stream));
        } catch (Throwable e) {
            throw rethrown(e);
        }
    }

    /// Runs the calls that `work` makes as one.
    static void group(Runnable work) {
        try {
            check("ncclGroupStart", (int) Library.GROUP_START.invokeExact());
            work.run();
            check("ncclGroupEnd", (int) Library.GROUP_END.invokeExact());
        } catch (Throwable e) {
            throw rethrown(e);
        }
    }

    /// Ends all that the device does for this communicator, and frees it; waits until no graph has calls of it any
    /// more. From any thread, once.
    void abort() {
        try {
            check("ncclCommAbort", (int) Library.ABORT.invokeExact(communicator));
        } catch (Throwable e) {
            throw rethrown(e);
        }
    }

    private static void check(String what, int status) {
        if (status != 0) {
            throw new PenstockException(
                    ErrorCategory.UNAVAILABLE,
                    "%s of %s failed: %s (%d)",
                    what,
                    Library.FOUND.name(),
                    text(status),
                    status);
        }
    }

    @SuppressWarnings("restricted") // a string of the library's own, static
    private static String text(int status) {
        try {
            MemorySegment text = (MemorySegment) Library.ERROR_TEXT.invokeExact(status);
            return text.reinterpret(1_024).getString(0);
        } catch (Throwable e) {
            throw rethrown(e);
        }
    }

    private static RuntimeException rethrown(Throwable e) {
        return switch (e) {
            case RuntimeException unchecked -> unchecked;
            case Error error -> throw error;
            default -> new IllegalStateException(e);
        };
    }

    /// Found at the first call.
    private static final class Library {
        static final String NAME = "libnccl.so.2";
        static final MemoryLayout ID = MemoryLayout.structLayout(MemoryLayout.sequenceLayout(ID_BYTES, JAVA_BYTE));

        static {
            withoutMulticast();
        }

        static final NativeLibrary FOUND = NativeLibrary.find(NAME);
        static final MethodHandle GET_ID = FOUND.function("ncclGetUniqueId", JAVA_INT, ADDRESS);
        static final MethodHandle INIT = FOUND.function("ncclCommInitRank", JAVA_INT, ADDRESS, JAVA_INT, ID, JAVA_INT);
        static final MethodHandle ALL_REDUCE = FOUND.function(
                "ncclAllReduce", JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_LONG);
        static final MethodHandle BROADCAST = FOUND.function(
                "ncclBroadcast", JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_LONG);
        static final MethodHandle GROUP_START = FOUND.function("ncclGroupStart", JAVA_INT);
        static final MethodHandle GROUP_END = FOUND.function("ncclGroupEnd", JAVA_INT);
        static final MethodHandle ABORT = FOUND.function("ncclCommAbort", JAVA_INT, JAVA_LONG);
        static final MethodHandle ERROR_TEXT = FOUND.function("ncclGetErrorString", ADDRESS, JAVA_INT);

        // One rank's failure in the middle of NVLink multicast can take the whole host's GPUs out of service, so it is
        // off unless an operator has set the variable. The library reads the process' own environment, which only the
        // C library can change.
        @SuppressWarnings("restricted")
        private static void withoutMulticast() {
            Linker linker = Linker.nativeLinker();
            try (Arena arena = Arena.ofConfined()) {
                MethodHandle set = linker.downcallHandle(
                        linker.defaultLookup().findOrThrow("setenv"),
                        FunctionDescriptor.of(JAVA_INT, ADDRESS, ADDRESS, JAVA_INT));
                int status = (int) set.invokeExact(arena.allocateFrom("NCCL_NVLS_ENABLE"), arena.allocateFrom("0"), 0);
                if (status != 0) {
                    throw new IllegalStateException("setenv failed: " + status);
                }
            } catch (Throwable e) {
                throw rethrown(e);
            }
        }
    }
}
