package io.penstock.shard.backend.cuda;

import io.penstock.shard.backend.cuda.CublasLt.Extents;
import io.penstock.shard.backend.cuda.CublasLt.Operation;
import io.penstock.shard.backend.cuda.CublasLt.Product;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import jcuda.driver.CUevent;

/// Which of cuBLASLt's algorithms each product is by: the one that was quickest on this device, where
/// that was measured, else the library's own choice; or one for all numbers of vectors, so that a
/// vector's outputs do not depend on its neighbours. For one thread.
final class Products {
    private static final int CANDIDATES = 8;
    private static final int RUNS = 3;
    private static final int ROUNDS = 2;
    /// Vectors for which the one algorithm is looked for: with few, the library knows none that does not
    /// part the columns of some matrices.
    private static final int[] COMMON_VECTORS = {128, 512, 2_048};

    private final CudaDevice device;
    private final CublasLt cublas;
    private final Map<Extents, byte[]> chosen;
    private final boolean alike;
    private final Map<Extents, Product> plans = new HashMap<>();
    private int turn;

    /// @param chosen algorithms of earlier epochs, kept up
    /// @param alike whether one algorithm serves all numbers of vectors
    Products(CudaDevice device, CublasLt cublas, Map<Extents, byte[]> chosen, boolean alike) {
        this.device = device;
        this.cublas = cublas;
        this.chosen = chosen;
        this.alike = alike;
    }

    void run(Extents extents, Operation operation) {
        cublas.run(plans.computeIfAbsent(extents, this::plan), operation, device.streamHandle());
    }

    private Product plan(Extents extents) {
        if (alike) {
            return cublas.plan(extents, chosen.computeIfAbsent(extents.of(0), _ -> common(extents)));
        }
        byte[] known = chosen.get(extents);
        if (known != null) {
            return cublas.plan(extents, known);
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

    /// Chooses the quickest algorithm for a product, unless that has been done.
    ///
    /// @param operations on matrices that do not all fit into the second-level cache: as in a step, weights
    ///     are met there once
    void tune(Extents extents, List<Operation> operations) {
        if (alike || chosen.containsKey(extents)) {
            return;
        }
        List<Product> candidates = cublas.candidates(extents, CANDIDATES);
        Product best = null;
        float least = Float.POSITIVE_INFINITY;
        for (Product candidate : candidates) {
            float millis = candidates.size() == 1 ? 0 : millis(candidate, operations);
            if (millis < least) {
                least = millis;
                best = candidate;
            }
        }
        if (best == null) {
            throw none(extents);
        }
        chosen.put(extents, best.algorithmBytes());
        plans.put(extents, best);
    }

    private float millis(Product candidate, List<Operation> operations) {
        CUevent from = device.event();
        CUevent to = device.event();
        try {
            // The first brings the kernel onto the device.
            cublas.run(candidate, next(operations), device.streamHandle());
            float least = Float.POSITIVE_INFINITY;
            for (int round = 0; round < ROUNDS; round++) {
                device.record(from);
                for (int i = 0; i < RUNS; i++) {
                    cublas.run(candidate, next(operations), device.streamHandle());
                }
                device.record(to);
                device.await(to);
                least = Math.min(least, device.millisBetween(from, to));
            }
            return least;
        } finally {
            device.destroy(from);
            device.destroy(to);
        }
    }

    private Operation next(List<Operation> operations) {
        return operations.get(turn++ % operations.size());
    }
}
