package io.penstock.shard.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.penstock.shard.backend.cuda.ptx.DeviceSpace;
import io.penstock.shard.backend.cuda.ptx.Interpreter;
import io.penstock.shard.backend.cuda.ptx.TensorMaps;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;
import jcuda.driver.CUevent;
import jcuda.driver.CUgraphExec;

/// A Hopper GPU that is none: kernels run on the CPU, by [Interpreter], when they are launched. So the host's code is
/// the same as on a GPU.
final class InterpretedDevice implements CudaDevice {
    private static final long MEMORY_BYTES = 1L << 33;
    private static final String PROPERTY = "penstock.ptx";
    private static final List<String> SOURCES = List.of(
            "attention",
            "contexts",
            "decode",
            "elementwise",
            "gated",
            "gemm",
            "gemm_widening",
            "gemv",
            "prompts",
            "sampling",
            "weights");
    private static final String PTX = ".compute_90a.ptx";

    private final DeviceSpace space = new DeviceSpace();
    private final int multiprocessors;
    private final Map<Long, Interpreter> modules = new HashMap<>();
    private final List<Function> functions = new ArrayList<>();
    private final long seed;
    /// Of each kernel: launches, instructions of threads, nanoseconds.
    private final Map<String, long[]> costs = new TreeMap<>();
    private long launches;
    private long allocated;
    private List<Runnable> captured;

    private record Function(Interpreter interpreter, String name) {}

    /// @param seed of the order in which blocks and warps take turns and copies arrive
    InterpretedDevice(int multiprocessors, long seed) {
        this.multiprocessors = multiprocessors;
        this.seed = seed;
    }

    /// Where compiled kernels are.
    static Path folder() {
        return Path.of(System.getProperty(PROPERTY, "target/ptx"));
    }

    /// Leaves out the caller's tests where there is no compiler of kernels; who says where compiled kernels are must
    /// have them.
    static void requireKernels() {
        boolean there = SOURCES.stream().allMatch(source -> Files.isReadable(folder().resolve(source + PTX)));
        assumeTrue(
                there || System.getProperty(PROPERTY) != null, "kernels are not compiled: tools/cuda/ptx.sh does it");
        assertThat(there).as("kernels in %s", folder()).isTrue();
    }

    /// Kernels of `folder()`, as if they were machine code.
    CudaModules modules() {
        return new CudaModules(this, name -> {
            String source = name.substring(0, name.indexOf('.'));
            try {
                return Files.readAllBytes(folder().resolve(source + PTX));
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        });
    }

    /// A device's memory, as the host sees it.
    @SuppressWarnings("restricted")
    static MemorySegment memory(long address, long bytes) {
        return MemorySegment.ofAddress(address).reinterpret(bytes);
    }

    @Override
    public void bind() {
        // Any thread will do.
    }

    @Override
    public String name() {
        return "interpreted";
    }

    @Override
    public int ordinal() {
        return 0;
    }

    @Override
    public int computeCapability() {
        return HOPPER;
    }

    @Override
    public int multiprocessors() {
        return multiprocessors;
    }

    @Override
    public boolean isReal() {
        return false;
    }

    @Override
    public long freeBytes() {
        return MEMORY_BYTES - allocated;
    }

    @Override
    public void identify(String rank) {
        // A fault names its place in the kernel.
    }

    @Override
    public void step(long number) {
        // Likewise.
    }

    @Override
    public void check(String what, int status) {
        if (status != 0) {
            throw new CudaException(status, "%s failed", what);
        }
    }

    @Override
    public long streamHandle() {
        return 0;
    }

    @Override
    public long loadModule(String origin, byte[] image) {
        long handle = modules.size() + 1L;
        modules.put(handle, new Interpreter(space, new String(image, StandardCharsets.UTF_8)));
        return handle;
    }

    @Override
    public void unloadModule(long module) {
        modules.remove(module);
    }

    @Override
    public long function(long module, String name, int sharedBytes) {
        functions.add(new Function(modules.get(module), name));
        return functions.size() - 1L;
    }

    @Override
    public void encodeTensorMap(
            MemorySegment to, long address, int type, int swizzle, long[] extents, long[] strides, int[] box) {
        TensorMaps.encode(to, address, type, swizzle, extents, strides, box);
    }

    @Override
    public void watch(Consumer<Object> watcher) {
        throw new IllegalStateException("this device is not timed");
    }

    @Override
    public void launching(Object what) {
        // Nobody watches.
    }

    @Override
    public void launch(Kernel kernel, Launcher.Grid grid, Object... arguments) {
        Object[] copied = new Object[arguments.length];
        for (int i = 0; i < copied.length; i++) {
            copied[i] = arguments[i] instanceof MemorySegment struct ? copy(struct) : arguments[i];
        }
        enqueue(() -> run(functions.get((int) kernel.handle()), grid, copied));
    }

    // A launch takes arguments as they are now.
    private static MemorySegment copy(MemorySegment struct) {
        return MemorySegment.ofArray(struct.toArray(java.lang.foreign.ValueLayout.JAVA_BYTE));
    }

    private void run(Function function, Launcher.Grid grid, Object[] arguments) {
        long began = System.nanoTime();
        Interpreter.Count count = function.interpreter.launch(
                function.name,
                new int[] {grid.x(), grid.y(), grid.z()},
                grid.threads(),
                grid.sharedBytes(),
                multiprocessors,
                seed + launches++,
                arguments);
        costs.computeIfAbsent(function.name, _ -> new long[3]);
        long[] cost = costs.get(function.name);
        cost[0]++;
        cost[1] += count.executed();
        cost[2] += System.nanoTime() - began;
    }

    private void enqueue(Runnable work) {
        if (captured != null) {
            captured.add(work);
        } else {
            work.run();
        }
    }

    @Override
    public void synchronize() {
        // What is launched has run.
    }

    @Override
    public DeviceMemory allocate(long bytes) {
        MemorySegment segment = space.allocate(bytes);
        allocated += bytes;
        return new Allocation(segment.address(), bytes);
    }

    private static final class Allocation extends DeviceMemory {
        private final long address;

        Allocation(long address, long size) {
            super(size);
            this.address = address;
        }

        @Override
        long address() {
            return address;
        }
    }

    @Override
    public void free(DeviceMemory memory) {
        space.free(memory.address());
        allocated -= memory.size();
    }

    @Override
    public HostMemory allocateHost(int bytes) {
        MemorySegment segment = space.allocate(bytes);
        segment.fill((byte) 0);
        return new HostMemory(null, segment);
    }

    @Override
    public void free(HostMemory memory) {
        space.free(memory.address());
    }

    @Override
    public void upload(long to, HostMemory from, long bytes) {
        enqueue(() -> space.copy(from.address(), to, bytes));
    }

    @Override
    public void download(HostMemory to, long from, long bytes) {
        enqueue(() -> space.copy(from, to.address(), bytes));
    }

    @Override
    public void copyRows(long to, long toPitch, long from, long fromPitch, long width, long rows) {
        enqueue(() -> {
            for (long row = 0; row < rows; row++) {
                space.copy(from + row * fromPitch, to + row * toPitch, width);
            }
        });
    }

    @Override
    public byte[] identity() {
        return new byte[16];
    }

    @Override
    public void zero(long address, long bytes) {
        enqueue(() -> space.zero(address, bytes));
    }

    @Override
    public CUevent event() {
        return new CUevent();
    }

    @Override
    public void record(CUevent event) {
        // It has happened already.
    }

    @Override
    public void await(CUevent event) {
        // Likewise.
    }

    @Override
    public boolean isDone(CUevent event) {
        return true;
    }

    @Override
    public float millisBetween(CUevent from, CUevent to) {
        throw new IllegalStateException("this device is not timed");
    }

    @Override
    public void destroy(CUevent event) {
        // Nothing was taken for it.
    }

    private static final class Graph extends CUgraphExec {
        private final List<Runnable> work;

        Graph(List<Runnable> work) {
            this.work = work;
        }
    }

    @Override
    public CUgraphExec capture(Runnable work) {
        captured = new ArrayList<>();
        try {
            work.run();
            return new Graph(captured);
        } finally {
            captured = null;
        }
    }

    @Override
    public void launch(CUgraphExec graph) {
        ((Graph) graph).work.forEach(Runnable::run);
    }

    @Override
    public void destroy(CUgraphExec graph) {
        // Nothing was taken for it.
    }

    @Override
    public void close() {
        if (Boolean.getBoolean("penstock.ptx.costs")) {
            costs.forEach((name, cost) -> System.out.printf(
                    "%-24s %6d launches, %8.1f M instructions of threads, %8.0f ms, %6.1f M/s%n",
                    name, cost[0], cost[1] / 1e6, cost[2] / 1e6, cost[1] * 1e3 / cost[2]));
        }
        space.close();
    }
}
