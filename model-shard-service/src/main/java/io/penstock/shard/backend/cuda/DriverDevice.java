package io.penstock.shard.backend.cuda;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.function.Consumer;
import jcuda.Pointer;
import jcuda.driver.CUDA_MEMCPY2D;
import jcuda.driver.CUcontext;
import jcuda.driver.CUdevice;
import jcuda.driver.CUdevice_attribute;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUevent;
import jcuda.driver.CUevent_flags;
import jcuda.driver.CUfunction;
import jcuda.driver.CUfunction_attribute;
import jcuda.driver.CUgraph;
import jcuda.driver.CUgraphExec;
import jcuda.driver.CUmemorytype;
import jcuda.driver.CUmodule;
import jcuda.driver.CUresult;
import jcuda.driver.CUstream;
import jcuda.driver.CUstreamCaptureMode;
import jcuda.driver.CUstream_flags;
import jcuda.driver.CUuuid;
import jcuda.driver.JCudaDriver;

/// A GPU by its driver: its context, one stream and memory.
final class DriverDevice implements CudaDevice {
    private static final int MOST_SHARED_UNASKED = 48 * 1024;

    private final int ordinal;
    private final CUdevice device = new CUdevice();
    private final CUcontext context = new CUcontext();
    private final Stream stream = new Stream();
    private final Arena arena = Arena.ofShared();
    private final Launcher launcher;
    private final String name;
    private final Map<Long, Module> modules = new HashMap<>();
    private Consumer<Object> watcher;
    private String where = "";
    private long step;

    /// @throws PenstockException (unavailable) if there is no such device
    DriverDevice(int ordinal) {
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

    @Override
    public void bind() {
        check("cuCtxSetCurrent", JCudaDriver.cuCtxSetCurrent(context));
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public int ordinal() {
        return ordinal;
    }

    @Override
    public int computeCapability() {
        return 10 * attribute(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)
                + attribute(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
    }

    @Override
    public int multiprocessors() {
        return attribute(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
    }

    private int attribute(int attribute) {
        int[] value = new int[1];
        check("cuDeviceGetAttribute", JCudaDriver.cuDeviceGetAttribute(value, attribute, device));
        return value[0];
    }

    @Override
    public boolean isReal() {
        return true;
    }

    @Override
    public long freeBytes() {
        long[] free = new long[1];
        long[] total = new long[1];
        check("cuMemGetInfo", JCudaDriver.cuMemGetInfo(free, total));
        return free[0];
    }

    @Override
    public void identify(String rank) {
        where = rank;
    }

    @Override
    public void step(long number) {
        step = number;
    }

    @Override
    public void check(String what, int status) {
        if (status != 0) {
            throw failure(what, status);
        }
    }

    private CudaException failure(String what, int status) {
        String[] text = new String[1];
        JCudaDriver.cuGetErrorName(status, text);
        return new CudaException(status, "%s%s failed in step %d: %s (%d)", where, what, step, text[0], status);
    }

    @Override
    public long streamHandle() {
        return stream.handle();
    }

    @Override
    public long loadModule(String origin, byte[] image) {
        // PTX is text: the driver reads it up to a zero byte.
        Module module = new Module();
        check(origin, JCudaDriver.cuModuleLoadData(module, Arrays.copyOf(image, image.length + 1)));
        modules.put(module.handle(), module);
        return module.handle();
    }

    @Override
    public void unloadModule(long module) {
        JCudaDriver.cuModuleUnload(modules.remove(module));
    }

    @Override
    public long function(long module, String name, int sharedBytes) {
        Function function = new Function();
        check(name, JCudaDriver.cuModuleGetFunction(function, modules.get(module), name));
        if (sharedBytes > MOST_SHARED_UNASKED) {
            check(
                    name,
                    JCudaDriver.cuFuncSetAttribute(
                            function,
                            CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                            sharedBytes));
        }
        return function.handle();
    }

    @Override
    public void encodeTensorMap(
            MemorySegment to, long address, int type, int swizzle, long[] extents, long[] strides, int[] box) {
        check("cuTensorMapEncodeTiled", TensorMap.encode(to, address, type, swizzle, extents, strides, box));
    }

    @Override
    public void watch(Consumer<Object> watcher) {
        this.watcher = watcher;
    }

    @Override
    public void launching(Object what) {
        if (watcher != null) {
            watcher.accept(what);
        }
    }

    @Override
    public void launch(Kernel kernel, Launcher.Grid grid, Object... arguments) {
        launching(kernel);
        int status = launcher.launch(kernel, stream.handle(), grid, arguments);
        if (status != 0) {
            throw failure(kernel.name(), status);
        }
    }

    @Override
    public void synchronize() {
        check("the stream", JCudaDriver.cuStreamSynchronize(stream));
    }

    @Override
    public DeviceMemory allocate(long bytes) {
        DeviceMemory memory = new DeviceMemory(bytes);
        int status = JCudaDriver.cuMemAlloc(memory, bytes);
        if (status != 0) {
            throw new PenstockException(
                    ErrorCategory.UNAVAILABLE, "%d bytes of %s are needed, %d are free", bytes, name, freeBytes());
        }
        return memory;
    }

    @Override
    public void free(DeviceMemory memory) {
        check("cuMemFree", JCudaDriver.cuMemFree(memory));
    }

    @Override
    public HostMemory allocateHost(int bytes) {
        Pointer pointer = new Pointer();
        check("cuMemHostAlloc", JCudaDriver.cuMemHostAlloc(pointer, bytes, JCudaDriver.CU_MEMHOSTALLOC_DEVICEMAP));
        ByteBuffer buffer = pointer.getByteBuffer(0, bytes).order(ByteOrder.nativeOrder());
        MemorySegment segment = MemorySegment.ofBuffer(buffer);
        segment.fill((byte) 0);
        return new HostMemory(pointer, segment);
    }

    @Override
    public void free(HostMemory memory) {
        check("cuMemFreeHost", JCudaDriver.cuMemFreeHost(memory.pointer()));
    }

    @Override
    public void upload(long to, HostMemory from, long bytes) {
        check("upload", JCudaDriver.cuMemcpyHtoDAsync(new Address(to).pointer(), from.pointer(), bytes, stream));
    }

    @Override
    public void download(HostMemory to, long from, long bytes) {
        check("download", JCudaDriver.cuMemcpyDtoHAsync(to.pointer(), new Address(from).pointer(), bytes, stream));
    }

    @Override
    public void copyRows(long to, long toPitch, long from, long fromPitch, long width, long rows) {
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

    @Override
    public byte[] identity() {
        CUuuid uuid = new CUuuid();
        check("cuDeviceGetUuid", JCudaDriver.cuDeviceGetUuid(uuid, device));
        return uuid.bytes.clone();
    }

    @Override
    public void zero(long address, long bytes) {
        check("cuMemsetD8Async", JCudaDriver.cuMemsetD8Async(new Address(address).pointer(), (byte) 0, bytes, stream));
    }

    @Override
    public CUevent event() {
        CUevent event = new CUevent();
        // Blocking: a thread that waits leaves its core to others.
        check("cuEventCreate", JCudaDriver.cuEventCreate(event, CUevent_flags.CU_EVENT_BLOCKING_SYNC));
        return event;
    }

    @Override
    public void record(CUevent event) {
        check("cuEventRecord", JCudaDriver.cuEventRecord(event, stream));
    }

    @Override
    public void await(CUevent event) {
        check("a kernel", JCudaDriver.cuEventSynchronize(event));
    }

    @Override
    public boolean isDone(CUevent event) {
        int status = JCudaDriver.cuEventQuery(event);
        if (status == CUresult.CUDA_ERROR_NOT_READY) {
            return false;
        }
        check("a kernel", status);
        return true;
    }

    @Override
    public float millisBetween(CUevent from, CUevent to) {
        float[] millis = new float[1];
        check("cuEventElapsedTime", JCudaDriver.cuEventElapsedTime(millis, from, to));
        return millis[0];
    }

    @Override
    public void destroy(CUevent event) {
        check("cuEventDestroy", JCudaDriver.cuEventDestroy(event));
    }

    @Override
    public CUgraphExec capture(Runnable work) {
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

    @Override
    public void launch(CUgraphExec graph) {
        check("cuGraphLaunch", JCudaDriver.cuGraphLaunch(graph, stream));
    }

    @Override
    public void destroy(CUgraphExec graph) {
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

    private static final class Module extends CUmodule {
        long handle() {
            return getNativePointer();
        }
    }

    private static final class Function extends CUfunction {
        long handle() {
            return getNativePointer();
        }
    }

    private record Address(long value) {
        CUdeviceptr pointer() {
            return new CUdeviceptr().withByteOffset(value);
        }
    }
}
