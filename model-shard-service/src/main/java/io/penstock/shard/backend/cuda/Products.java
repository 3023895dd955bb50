package io.penstock.shard.backend.cuda;

import io.penstock.shard.backend.cuda.CublasLt.Extents;
import io.penstock.shard.backend.cuda.CublasLt.Operation;
import io.penstock.shard.backend.cuda.CublasLt.Product;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import jcuda.driver.CUgraphExec;

/// By what each product is made: our own kernel or one of cuBLASLt's algorithms, whichever was quickest
/// on this device, where that was measured, else the library's own choice; or one for all numbers of
/// vectors, so that a vector's outputs do not depend on its neighbours. For one thread.
final class Products {
    private static final int CANDIDATES = 8;
    private static final int RUNS = 4;
    private static final int ROUNDS = 2;
    /// Vectors for which the one algorithm is looked for: with few, the library knows none that does not
    /// part the columns of some matrices.
    private static final int[] COMMON_VECTORS = {128, 512, 2_048};

    private final CudaDevice device;
    private final CublasLt cublas;
    private final OwnProducts own;
    private final Map<Extents, Way> chosen;
    private final boolean alike;
    private final Map<Extents, Product> plans = new HashMap<>();
    private int turn;

    /// @param cublas null where there is no such library: then no step may need a product
    /// @param own our own, or null
    /// @param chosen ways of earlier epochs, kept up
    /// @param alike whether one algorithm serves all numbers of vectors
    Products(CudaDevice device, CublasLt cublas, OwnProducts own, Map<Extents, Way> chosen, boolean alike) {
        this.device = device;
        this.cublas = cublas;
        this.own = own;
        this.chosen = chosen;
        this.alike = alike;
    }

    /// By what a product is made.
    sealed interface Way {
        /// By [OwnProducts].
        record Own() implements Way {}

        /// By one of cuBLASLt's algorithms.
        record Library(byte[] algorithm) implements Way {}

        /// By whatever makes it where our own kernel does not.
        record Other() implements Way {}
    }

    void run(Extents extents, Operation operation) {
        if (isOwn(extents)) {
            own.run(extents, operation);
        } else {
            device.launching(extents);
            run(plans.computeIfAbsent(extents, this::plan), operation);
        }
    }

    private void run(Product product, Operation operation) {
        cublas.run(product, operation, device.streamHandle());
    }

    /// Whether a product is by our own kernel.
    boolean isOwn(Extents extents) {
        return chosen.get(extents) instanceof Way.Own;
    }

    private Product plan(Extents extents) {
        Extents known = alike ? extents.of(0) : extents;
        Way way = alike ? chosen.computeIfAbsent(known, _ -> new Way.Library(common(extents))) : chosen.get(known);
        if (way instanceof Way.Library library) {
            return cublas.plan(extents, library.algorithm);
        }
        return cublas.candidates(extents, 1).stream().findFirst().orElseThrow(() -> none(extents));
    }

    // Sums of columns in one order whatever the number of vectors: parts of them would be as many as
    // fill the device.
    private byte[] common(Extents extents) {
        return IntStream.of(COMMON_VECTORS)
                .mapToObj(vectors -> cublas.candidates(extents.of(vectors), CANDIDATES))
                .flatMap(List::stream)
                .filter(candidate -> !cublas.partsColumns(candidate))
                .findFirst()
                .map(Product::algorithmBytes)
                .orElseThrow(() -> none(extents));
    }

    private static CudaException none(Extents extents) {
        return new CudaException(15, "cuBLASLt has no kernel for %s", extents);
    }

    /// Chooses the quickest way of a product, unless that has been done.
    ///
    /// @param operations on matrices that do not all fit into the second-level cache: as in a step, weights
    ///     are met there once
    /// @param between a small kernel as there is between a step's products, which ours overlap with
    void tune(Extents extents, List<Operation> operations, Runnable between) {
        if (alike || chosen.containsKey(extents)) {
            return;
        }
        boolean ours = own != null && OwnProducts.serves(extents);
        float least = ours
                ? millis(each(operations, operation -> own.run(extents, operation)), between)
                : Float.POSITIVE_INFINITY;
        List<Product> candidates = cublas.candidates(extents, CANDIDATES);
        Product best = null;
        for (Product candidate : candidates) {
            float millis = !ours && candidates.size() == 1
                    ? 0
                    : millis(each(operations, operation -> run(candidate, operation)), between);
            if (millis < least) {
                least = millis;
                best = candidate;
            }
        }
        if (best != null) {
            chosen.put(extents, new Way.Library(best.algorithmBytes()));
            plans.put(extents, best);
        } else if (ours) {
            chosen.put(extents, new Way.Own());
        } else {
            throw none(extents);
        }
    }

    /// The same of a product that only our own kernel makes, where other kernels would do it too.
    ///
    /// @param ours with all that follows it, for a matrix each
    /// @param others what does the same
    void tune(Extents extents, List<Runnable> ours, List<Runnable> others, Runnable between) {
        if (alike || chosen.containsKey(extents) || own == null || !OwnProducts.serves(extents)) {
            return;
        }
        chosen.put(extents, new Way.Own());
        if (millis(ours, between) > millis(others, between)) {
            chosen.put(extents, new Way.Other());
        }
    }

    private static List<Runnable> each(List<Operation> operations, Consumer<Operation> way) {
        return operations.stream()
                .<Runnable>map(operation -> () -> way.accept(operation))
                .toList();
    }

    // Within a graph, as in a step: on its own a launch takes the host longer than some products take.
    private float millis(List<Runnable> runs, Runnable between) {
        // Brings the kernels onto the device.
        next(runs).run();
        CUgraphExec graph = device.capture(() -> {
            for (int i = 0; i < RUNS; i++) {
                between.run();
                next(runs).run();
            }
        });
        try {
            return device.leastMillis(ROUNDS, () -> device.launch(graph));
        } finally {
            device.destroy(graph);
        }
    }

    private Runnable next(List<Runnable> runs) {
        return runs.get(turn++ % runs.size());
    }
}
