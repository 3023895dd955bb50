package io.penstock.shard.backend.cuda;

import io.penstock.model.PenstockException;
import java.lang.foreign.MemorySegment;
import java.util.function.Consumer;
import jcuda.Pointer;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUevent;
import jcuda.driver.CUgraphExec;

/// One GPU of this process: one stream, memory, and the place where every error becomes a [CudaException] that says
/// rank, step and kernel. For one thread at a time. [DriverDevice] is a real one; tests run kernels without any.
interface CudaDevice extends AutoCloseable {
    /// [#computeCapability] of H100s and H200s.
    int HOPPER = 90;

    /// @throws PenstockException (unavailable) if there is no such device
    static CudaDevice open(int ordinal) {
        return new DriverDevice(ordinal);
    }

    /// Makes the calling thread the one that uses this device.
    void bind();

    String name();

    int ordinal();

    /// Major x 10 + minor: 80, 90.
    int computeCapability();

    int multiprocessors();

    /// Whether it is a GPU: its times say which kernels are quicker, and libraries have kernels for it.
    boolean isReal();

    long freeBytes();

    /// Said in every later error: which rank this is.
    void identify(String rank);

    /// Said in every later error: which step runs.
    void step(long number);

    /// @throws CudaException unless the status is 0
    void check(String what, int status);

    long streamHandle();

    /// @param origin its name, for errors
    /// @param image machine code or PTX
    /// @return the module's handle
    long loadModule(String origin, byte[] image);

    void unloadModule(long module);

    /// @param sharedBytes dynamic shared memory that it will be launched with
    /// @return the kernel's handle
    long function(long module, String name, int sharedBytes);

    /// Describes boxes of a tensor to the device's copy engine; past the tensor's ends are zeros.
    ///
    /// @param to receives [TensorMap#BYTES], at a multiple of 64
    /// @param type of its elements, as `CUtensorMapDataType` has it
    /// @param swizzle of a box in shared memory, as `CUtensorMapSwizzle` has it
    /// @param extents of each dimension, in elements, the innermost first
    /// @param strides in bytes, of each dimension but the innermost
    /// @param box its extents, in elements
    void encodeTensorMap(
            MemorySegment to, long address, int type, int swizzle, long[] extents, long[] strides, int[] box);

    /// Has someone told of everything that is put on the stream, before it is: for measurements.
    ///
    /// @param watcher takes a [Kernel] or [CublasLt.Extents]; null for nobody
    void watch(Consumer<Object> watcher);

    /// Says what is put on the stream next, where that is not by [#launch].
    void launching(Object what);

    /// Runs a kernel on the stream.
    void launch(Kernel kernel, Launcher.Grid grid, Object... arguments);

    /// Waits for all work on the stream; where a kernel failed, this is where one hears of it.
    void synchronize();

    /// @return device memory, not zeroed
    DeviceMemory allocate(long bytes);

    void free(DeviceMemory memory);

    /// @return page-locked host memory, zeroed, that kernels may read and write at its own address
    HostMemory allocateHost(int bytes);

    void free(HostMemory memory);

    /// Copies on the stream; `from` must stay as it is until the stream has passed.
    void upload(long to, HostMemory from, long bytes);

    /// Copies on the stream.
    void download(HostMemory to, long from, long bytes);

    /// Copies rows within the device, on the stream.
    ///
    /// @param toPitch bytes from a row to the next
    /// @param width bytes of a row
    void copyRows(long to, long toPitch, long from, long fromPitch, long width, long rows);

    /// What no other GPU has, on any host.
    byte[] identity();

    default void zero(DeviceMemory memory) {
        zero(memory.address(), memory.size());
    }

    void zero(long address, long bytes);

    CUevent event();

    void record(CUevent event);

    void await(CUevent event);

    boolean isDone(CUevent event);

    float millisBetween(CUevent from, CUevent to);

    /// Milliseconds of what `work` puts on the stream, the least of some runs.
    default float leastMillis(int runs, Runnable work) {
        CUevent from = event();
        CUevent to = event();
        try {
            float least = Float.POSITIVE_INFINITY;
            for (int run = 0; run < runs; run++) {
                record(from);
                work.run();
                record(to);
                await(to);
                least = Math.min(least, millisBetween(from, to));
            }
            return least;
        } finally {
            destroy(from);
            destroy(to);
        }
    }

    void destroy(CUevent event);

    /// Records what `work` launches, to be replayed by [#launch(CUgraphExec)].
    CUgraphExec capture(Runnable work);

    void launch(CUgraphExec graph);

    void destroy(CUgraphExec graph);

    @Override
    void close();

    /// Memory of the device. Freed by its device.
    class DeviceMemory extends CUdeviceptr {
        private final long size;

        DeviceMemory(long size) {
            this.size = size;
        }

        long address() {
            return getNativePointer();
        }

        long size() {
            return size;
        }
    }

    /// @param segment the same bytes
    record HostMemory(Pointer pointer, MemorySegment segment) {
        long address() {
            return segment.address();
        }
    }
}
