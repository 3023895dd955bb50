package io.penstock.shard.backend.cuda;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.function.Consumer;
import jcuda.Pointer;
import jcuda.driver.CUDA_MEMCPY2D;
import jcuda.driver.CUcontext;
import jcuda.driver.CUdevice;
import jcuda.driver.CUdevice_attribute;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUevent;
import jcuda.driver.CUevent_flags;
import jcuda.driver.CUgraph;
import jcuda.driver.CUgraphExec;
import jcuda.driver.CUmemorytype;
import jcuda.driver.CUresult;
import jcuda.driver.CUstream;
import jcuda.driver.CUstreamCaptureMode;
import jcuda.driver.CUstream_flags;
import jcuda.driver.CUuuid;
import jcuda.driver.JCudaDriver;

/// One GPU of this process: its context, one stream, memory, and the place where every error of the
/// driver becomes a [CudaException] that says rank, step and kernel. For one thread at a time.
final class CudaDevice implements AutoCloseable {
    private final int ordinal;
    private final CUdevice device = new CUdevice();
    private final CUcontext context = new CUcontext();
    private final Stream stream = new Stream();
    private final Arena arena = Arena.ofShared();
    private final Launcher launcher;
    private final String name;
    private Consumer<Object> watcher;
    private String where = "";
    private long step;

    /// @throws PenstockException (unavailable) if there is no such device
    CudaDevice(int ordinal) {
        this.ordinal = ordinal;
        JCudaDriver.setExceptionsEnabled(false);
        check("cuInit", JCudaDriver.cuInit(0));
        int[] count = new int[1];
        check("cuDeviceGetCount", JCudaDriver.cuDeviceGetCount(count));
        if (ordinal < 0 || ordinal >= count[0]) {
            throw new PenstockException(
                    ErrorCategory.UNAVAILABLE, "CUDA device %d is asked for, there are %d", ordinal, count[0]);
        }
        check("cuDeviceGet", JCudaDriver.cuDeviceGet(device, ordinal));
        check("cuDevicePrimaryCtxRetain", JCudaDriver.cuDevicePrimaryCtxRetain(context, device));
        bind();
        check("cuStreamCreate", JCudaDriver.cuStreamCreate(stream, CUstream_flags.CU_STREAM_NON_BLOCKING));
        byte[] text = new byte[256];
        check("cuDeviceGetName", JCudaDriver.cuDeviceGetName(text, text.length, device));
        int end = 0;
        while (end < text.length && text[end] != 0) {
            end++;
        }
        name = new String(text, 0, end, StandardCharsets.UTF_8);
        launcher = new Launcher(arena);
    }

    /// Makes the calling thread the one that uses this device.
    void bind() {
        check("cuCtxSetCurrent", JCudaDriver.cuCtxSetCurrent(context));
    }

    String name() {
        return name;
    }

    int ordinal() {
        return ordinal;
    }

    /// Major x 10 + minor: 80, 90.
    int computeCapability() {
        return 10 * attribute(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)
                + attribute(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
    }

    int multiprocessors() {
        return attribute(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
    }

    private int attribute(int attribute) {
        int[] value = new int[1];
        check("cuDeviceGetAttribute", JCudaDriver.cuDeviceGetAttribute(value, attribute, device));
        return value[0];
    }

    long freeBytes() {
        long[] free = new long[1];
        long[] total = new long[1];
        check("cuMemGetInfo", JCudaDriver.cuMemGetInfo(free, total));
        return free[0];
    }

    /// Said in every later error: which rank this is.
    void identify(String rank) {
        where = rank;
    }

    /// Said in every later error: which step runs.
    void step(long number) {
        step = number;
    }

    void check(String what, int status) {
        if (status != 0) {
            throw failure(what, status);
        }
    }

    private CudaException failure(String what, int status) {
        String[] text = new String[1];
        JCudaDriver.cuGetErrorName(status, text);
        return new CudaException(status, "%s%s failed in step %d: %s (%d)", where, what, step, text[0], status);
    }

    long streamHandle() {
        return stream.handle();
    }

    /// Has someone told of everything that is put on the stream, before it is: for measurements.
    ///
    /// @param watcher takes a [Kernel] or [CublasLt.Extents]; null for nobody
    void watch(Consumer<Object> watcher) {
        this.watcher = watcher;
    }

    /// Says what is put on the stream next, where that is not by [#launch].
    void launching(Object what) {
        if (watcher != null) {
            watcher.accept(what);
        }
    }

    /// Runs a kernel on the stream.
    void launch(Kernel kernel, Launcher.Grid grid, Object... arguments) {
        launching(kernel);
        int status = launcher.launch(kernel, stream.handle(), grid, arguments);
        if (status != 0) {
            throw failure(kernel.name(), status);
        }
    }

    /// Waits for all work on the stream; where a kernel failed, this is where one hears of it.
    void synchronize() {
        check("the stream", JCudaDriver.cuStreamSynchronize(stream));
    }

    /// @return device memory, not zeroed
    DeviceMemory allocate(long bytes) {
        DeviceMemory memory = new DeviceMemory();
        int status = JCudaDriver.cuMemAlloc(memory, bytes);
        if (status != 0) {
            throw new PenstockException(
                    ErrorCategory.UNAVAILABLE, "%d bytes of %s are needed, %d are free", bytes, name, freeBytes());
        }
        memory.size = bytes;
        return memory;
    }

    void free(DeviceMemory memory) {
        check("cuMemFree", JCudaDriver.cuMemFree(memory));
    }

    /// @return page-locked host memory, zeroed, that kernels may read and write at its own address
    HostMemory allocateHost(int bytes) {
        Pointer pointer = new Pointer();
        check("cuMemHostAlloc", JCudaDriver.cuMemHostAlloc(pointer, bytes, JCudaDriver.CU_MEMHOSTALLOC_DEVICEMAP));
        ByteBuffer buffer = pointer.getByteBuffer(0, bytes).order(ByteOrder.nativeOrder());
        MemorySegment segment = MemorySegment.ofBuffer(buffer);
        segment.fill((byte) 0);
        return new HostMemory(pointer, segment);
    }

    void free(HostMemory memory) {
        check("cuMemFreeHost", JCudaDriver.cuMemFreeHost(memory.pointer()));
    }

    /// Copies on the stream; `from` must stay as it is until the stream has passed.
    void upload(long to, HostMemory from, long bytes) {
        check("upload", JCudaDriver.cuMemcpyHtoDAsync(new Address(to).pointer(), from.pointer(), bytes, stream));
    }

    /// Copies on the stream.
    void download(HostMemory to, long from, long bytes) {
        check("download", JCudaDriver.cuMemcpyDtoHAsync(to.pointer(), new Address(from).pointer(), bytes, stream));
    }

    /// Copies rows within the device, on the stream.
    ///
    /// @param toPitch bytes from a row to the next
    /// @param width bytes of a row
    void copyRows(long to, long toPitch, long from, long fromPitch, long width, long rows) {
        CUDA_MEMCPY2D copy = new CUDA_MEMCPY2D();
        copy.srcMemoryType = CUmemorytype.CU_MEMORYTYPE_DEVICE;
        copy.srcDevice = new Address(from).pointer();
        copy.srcPitch = fromPitch;
        copy.dstMemoryType = CUmemorytype.CU_MEMORYTYPE_DEVICE;
        copy.dstDevice = new Address(to).pointer();
        copy.dstPitch = toPitch;
        copy.WidthInBytes = width;
        copy.Height = rows;
        check("cuMemcpy2D", JCudaDriver.cuMemcpy2DAsync(copy, stream));
    }

    /// What no other GPU has, on any host.
    byte[] identity() {
        CUuuid uuid = new CUuuid();
        check("cuDeviceGetUuid", JCudaDriver.cuDeviceGetUuid(uuid, device));
        return uuid.bytes.clone();
    }

    void zero(DeviceMemory memory) {
        check("cuMemsetD8Async", JCudaDriver.cuMemsetD8Async(memory, (byte) 0, memory.size, stream));
    }

    void zero(long address, long bytes) {
        check("cuMemsetD8Async", JCudaDriver.cuMemsetD8Async(new Address(address).pointer(), (byte) 0, bytes, stream));
    }

    CUevent event() {
        CUevent event = new CUevent();
        // Blocking: a thread that waits leaves its core to others.
        check("cuEventCreate", JCudaDriver.cuEventCreate(event, CUevent_flags.CU_EVENT_BLOCKING_SYNC));
        return event;
    }

    void record(CUevent event) {
        check("cuEventRecord", JCudaDriver.cuEventRecord(event, stream));
    }

    void await(CUevent event) {
        check("a kernel", JCudaDriver.cuEventSynchronize(event));
    }

    boolean isDone(CUevent event) {
        int status = JCudaDriver.cuEventQuery(event);
        if (status == CUresult.CUDA_ERROR_NOT_READY) {
            return false;
        }
        check("a kernel", status);
        return true;
    }

    float millisBetween(CUevent from, CUevent to) {
        float[] millis = new float[1];
        check("cuEventElapsedTime", JCudaDriver.cuEventElapsedTime(millis, from, to));
        return millis[0];
    }

    void destroy(CUevent event) {
        check("cuEventDestroy", JCudaDriver.cuEventDestroy(event));
    }

    /// Records what `work` launches, to be replayed by [#launch(CUgraphExec)].
    CUgraphExec capture(Runnable work) {
        check(
                "cuStreamBeginCapture",
                JCudaDriver.cuStreamBeginCapture(stream, CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
        CUgraph graph = new CUgraph();
        try {
            work.run();
        } finally {
            check("cuStreamEndCapture", JCudaDriver.cuStreamEndCapture(stream, graph));
        }
        CUgraphExec executable = new CUgraphExec();
        check("cuGraphInstantiate", JCudaDriver.cuGraphInstantiate(executable, graph, 0));
        check("cuGraphDestroy", JCudaDriver.cuGraphDestroy(graph));
        return executable;
    }

    void launch(CUgraphExec graph) {
        check("cuGraphLaunch", JCudaDriver.cuGraphLaunch(graph, stream));
    }

    void destroy(CUgraphExec graph) {
        check("cuGraphExecDestroy", JCudaDriver.cuGraphExecDestroy(graph));
    }

    @Override
    public void close() {
        JCudaDriver.cuStreamDestroy(stream);
        JCudaDriver.cuDevicePrimaryCtxRelease(device);
        arena.close();
    }

    /// JCuda keeps raw handles to its own kin; libraries reached without it want them.
    private static final class Stream extends CUstream {
        long handle() {
            return getNativePointer();
        }
    }

    /// Memory of the device. Freed by its device.
    static final class DeviceMemory extends CUdeviceptr {
        private long size;

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

    private record Address(long value) {
        CUdeviceptr pointer() {
            return new CUdeviceptr().withByteOffset(value);
        }
    }
}
