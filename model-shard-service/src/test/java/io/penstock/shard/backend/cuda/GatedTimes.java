package io.penstock.shard.backend.cuda;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import io.penstock.shard.backend.cuda.CublasLt.Extents;
import io.penstock.shard.backend.cuda.CublasLt.Operands;
import io.penstock.shard.backend.cuda.CublasLt.Operation;
import io.penstock.shard.backend.cuda.CublasLt.Outputs;
import io.penstock.shard.backend.cuda.CudaDevice.DeviceMemory;
import io.penstock.shard.backend.cuda.CudaDevice.HostMemory;
import io.penstock.shard.backend.cuda.Launcher.Grid;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import jcuda.driver.CUevent;
import jcuda.driver.CUgraphExec;

/// Gates and ups of many vectors in Qwen2.5-7B's shape: by [GatedProducts], and by the quickest of cuBLASLt's
/// algorithms and the kernel that joins them behind it. Both make the same; then microseconds of each, of a device that
/// has been under load for as long as it is measured, with several matrices in turn, none of which is in the
/// second-level cache when its turn comes. A small kernel between, which nothing overlaps with, is taken off.
final class GatedTimes {
    private static final int ROWS = 37_888;
    private static final int COLUMNS = 3_584;
    private static final int INTERMEDIATE = ROWS / 2;
    private static final int MATRICES = 3;
    private static final int[] VECTORS = {192, 256, 384, 512, 1_024, 2_048, 4_096};
    private static final int MOST_VECTORS = 4_096;
    private static final int CANDIDATES = 8;
    // As ForwardPass launches it.
    private static final int GATES_A_BLOCK = 128 * 16;
    private static final double SECONDS = 1.2;

    private final CudaDevice device;
    private final CublasLt cublas;
    private final GatedProducts products;
    private final Kernel fill;
    private final Kernel swiglu;
    private final List<Long> matrices = new ArrayList<>();
    private final long inputs;
    private final long gateUp;
    private final long joined;
    private final long ours;
    private final long words;
    private final MemorySegment step;
    private int turn;

    private GatedTimes(
            CudaDevice device,
            CudaModules modules,
            CublasLt cublas,
            GatedProducts products,
            Arena arena,
            Memory memory) {
        this.device = device;
        this.cublas = cublas;
        this.products = products;
        fill = modules.kernel("elementwise", "fill");
        swiglu = modules.following("elementwise", "swiglu");
        Kernel random = modules.kernel("elementwise", "randomWeights");
        for (int i = 0; i < MATRICES; i++) {
            matrices.add(memory.take(2L * ROWS * COLUMNS));
            device.launch(random, Grid.of(1_024, 256), matrices.get(i), (long) ROWS * COLUMNS, 0.05f, i);
        }
        inputs = memory.take(2L * MOST_VECTORS * COLUMNS);
        device.launch(random, Grid.of(1_024, 256), inputs, (long) MOST_VECTORS * COLUMNS, 1f, 77);
        gateUp = memory.take(2L * MOST_VECTORS * ROWS);
        joined = memory.take(2L * MOST_VECTORS * INTERMEDIATE);
        ours = memory.take(2L * MOST_VECTORS * INTERMEDIATE);
        words = memory.take(256);
        step = arena.allocate(16, 8);
    }

    /// What is freed in the end.
    private record Memory(CudaDevice device, List<DeviceMemory> all) {
        long take(long bytes) {
            DeviceMemory memory = device.allocate(bytes);
            all.add(memory);
            return memory.address();
        }
    }

    static void run(CudaDevice device, CudaModules modules) {
        Memory memory = new Memory(device, new ArrayList<>());
        try (Arena arena = Arena.ofConfined();
                CublasLt cublas = new CublasLt(memory.take(CublasLt.WORKSPACE))) {
            if (!StreamedProducts.isOn(device)) {
                System.out.println("     gates and ups of many vectors: not on this device");
                return;
            }
            GatedProducts products = new GatedProducts(device, modules, arena);
            GatedTimes times = new GatedTimes(device, modules, cublas, products, arena, memory);
            for (int vectors : VECTORS) {
                times.run(vectors);
            }
        } finally {
            device.synchronize();
            memory.all.forEach(device::free);
        }
    }

    private void run(int vectors) {
        Extents wide = new Extents(ROWS, COLUMNS, vectors, ROWS, Operands.BF16, Outputs.BF16);
        Extents activated = new Extents(ROWS, COLUMNS, vectors, INTERMEDIATE, Operands.BF16, Outputs.ACTIVATED);
        step.set(JAVA_LONG, 0, words);
        step.set(JAVA_INT, 8, vectors);
        step.set(JAVA_INT, 12, vectors);
        Runnable between = () -> device.launch(fill, Grid.of(1, 32), words, 1L, Float.intBitsToFloat(vectors));
        Runnable own = () -> products.run(activated, new Operation(matrix(), 0, inputs, 0, ours));
        CublasLt.Product best = cublas.candidates(wide, CANDIDATES).stream()
                .min(Comparator.comparingDouble(candidate -> micros(between, () -> multiply(candidate), 0.05)))
                .orElseThrow();
        Runnable join = () -> device.launch(
                swiglu,
                new Grid((INTERMEDIATE + GATES_A_BLOCK - 1) / GATES_A_BLOCK, vectors, 1, 128, 0),
                step,
                gateUp,
                joined,
                INTERMEDIATE);
        compare(vectors, between, own, () -> {
            multiply(best);
            join.run();
        });
        double nothing = micros(between, () -> {}, 0.1);
        double product = micros(between, () -> multiply(best), SECONDS) - nothing;
        double others = micros(
                        between,
                        () -> {
                            multiply(best);
                            join.run();
                        },
                        SECONDS)
                - nothing;
        double mine = micros(between, own, SECONDS) - nothing;
        double operations = 2.0 * vectors * ROWS * COLUMNS;
        System.out.printf(
                "     gates and ups, %5d vectors: ours %7.1f us = %3.0f TFLOP/s; cuBLASLt and activation %7.1f us = %3.0f;"
                        + " cuBLASLt alone %7.1f us = %3.0f%n",
                vectors,
                mine,
                operations / mine / 1e6,
                others,
                operations / others / 1e6,
                product,
                operations / product / 1e6);
    }

    private long matrix() {
        return matrices.get(turn++ % MATRICES);
    }

    private void multiply(CublasLt.Product product) {
        cublas.run(product, new Operation(matrix(), 0, inputs, 0, gateUp), device.streamHandle());
    }

    /// Gates and ups that are rounded before they are joined are a little other ones.
    private void compare(int vectors, Runnable between, Runnable own, Runnable others) {
        int elements = vectors * INTERMEDIATE;
        turn = 0;
        between.run();
        own.run();
        turn = 0;
        others.run();
        HostMemory one = device.allocateHost(2 * elements);
        HostMemory other = device.allocateHost(2 * elements);
        device.download(one, ours, 2L * elements);
        device.download(other, joined, 2L * elements);
        device.synchronize();
        double squares = 0;
        double worst = 0;
        for (int i = 0; i < elements; i++) {
            squares += Math.pow(value(other, i), 2);
        }
        double size = Math.sqrt(squares / elements);
        for (int i = 0; i < elements; i++) {
            double difference = Math.abs(value(one, i) - value(other, i)) / (Math.abs(value(other, i)) + size);
            // Not a number is the worst.
            worst = difference <= worst ? worst : difference;
        }
        GpuCheck.report(
                worst < 0.03,
                "gates and ups, %d vectors: ours differ from cuBLASLt's by %.4f of their size at most",
                vectors,
                worst);
        device.free(one);
        device.free(other);
    }

    private static double value(HostMemory memory, int index) {
        return Float.intBitsToFloat(memory.segment().getAtIndex(JAVA_SHORT, index) << 16);
    }

    /// The mean of the second half of so many seconds.
    private double micros(Runnable between, Runnable launches, double seconds) {
        between.run();
        launches.run();
        CUgraphExec graph = device.capture(() -> {
            for (int i = 0; i < 2 * MATRICES; i++) {
                between.run();
                launches.run();
            }
        });
        CUevent from = device.event();
        CUevent to = device.event();
        double once = millis(from, to, graph, 3) / 3;
        int runs = (int) Math.max(2, Math.ceil(500 * seconds / once));
        millis(from, to, graph, runs);
        double micros = 1e3 * millis(from, to, graph, runs) / runs / (2 * MATRICES);
        device.destroy(from);
        device.destroy(to);
        device.destroy(graph);
        return micros;
    }

    private double millis(CUevent from, CUevent to, CUgraphExec graph, int runs) {
        device.record(from);
        for (int i = 0; i < runs; i++) {
            device.launch(graph);
        }
        device.record(to);
        device.synchronize();
        return device.millisBetween(from, to);
    }
}
