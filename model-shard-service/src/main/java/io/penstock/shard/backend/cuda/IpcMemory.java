package io.penstock.shard.backend.cuda;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/// Device memory of one process in another one. By the Foreign Function API: JCuda keeps the handles' bytes to
/// itself.
final class IpcMemory {
    static final int HANDLE_BYTES = 64;

    private static final MemoryLayout HANDLE =
            MemoryLayout.structLayout(MemoryLayout.sequenceLayout(HANDLE_BYTES, JAVA_BYTE));
    private static final NativeLibrary DRIVER = NativeLibrary.find("libcuda.so.1");
    private static final MethodHandle GET = DRIVER.function("cuIpcGetMemHandle", JAVA_INT, ADDRESS, JAVA_LONG);
    private static final MethodHandle OPEN =
            DRIVER.function("cuIpcOpenMemHandle_v2", JAVA_INT, ADDRESS, HANDLE, JAVA_INT);
    private static final MethodHandle CLOSE = DRIVER.function("cuIpcCloseMemHandle", JAVA_INT, JAVA_LONG);
    private static final int LAZY_ENABLE_PEER_ACCESS = 1;

    private IpcMemory() {}

    /// @param address where an allocation begins
    static byte[] export(CudaDevice device, long address) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment handle = arena.allocate(HANDLE);
            device.check("cuIpcGetMemHandle", (int) GET.invokeExact(handle, address));
            return handle.toArray(JAVA_BYTE);
        } catch (Throwable e) {
            throw unchecked(e);
        }
    }

    /// Maps what another process has exported.
    ///
    /// @return its address here
    /// @throws CudaException if this device cannot reach that memory, or its process is on another host
    static long open(CudaDevice device, byte[] handle) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment bytes = arena.allocate(HANDLE);
            MemorySegment.copy(handle, 0, bytes, JAVA_BYTE, 0, HANDLE_BYTES);
            MemorySegment address = arena.allocate(JAVA_LONG);
            device.check("cuIpcOpenMemHandle", (int) OPEN.invokeExact(address, bytes, LAZY_ENABLE_PEER_ACCESS));
            return address.get(JAVA_LONG, 0);
        } catch (Throwable e) {
            throw unchecked(e);
        }
    }

    static void close(CudaDevice device, long address) {
        try {
            device.check("cuIpcCloseMemHandle", (int) CLOSE.invokeExact(address));
        } catch (Throwable e) {
            throw unchecked(e);
        }
    }

    private static RuntimeException unchecked(Throwable e) {
        return switch (e) {
            case RuntimeException known -> known;
            case Error error -> throw error;
            default -> new IllegalStateException(e);
        };
    }
}
