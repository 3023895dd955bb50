package io.penstock.shard.backend.cuda;

import io.penstock.shard.backend.cuda.CublasLt.Extents;
import io.penstock.shard.backend.cuda.CublasLt.Operands;
import io.penstock.shard.backend.cuda.CublasLt.Operation;
import io.penstock.shard.backend.cuda.CublasLt.Outputs;
import io.penstock.shard.backend.cuda.Launcher.Grid;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.Function;

/// Products of vectors with matrices of every weight format: of few vectors with bf16 by our own
/// matrix-vector kernels or by [Products], whichever was quicker, of others by the latter, with weights as
/// they are or, a piece at a time, widened to bf16 in memory first.
final class WeightProducts {
    /// Vectors that our own matrix-vector kernels take at once.
    private static final int GEMV_VECTORS = 8;

    /// Vectors at most that stay bf16 where our own products take e4m3: so few gain nothing by it.
    private static final int WIDE_VECTORS = 4;

    private static final int ROWS_A_TILE = 16;
    /// What cuBLASLt wants extents of e4m3 operands to be multiples of.
    private static final int EIGHTS_ALIGNMENT = 16;

    private final CudaDevice device;
    private final Products products;
    private final StepMemory memory;
    // Vectors at most that our own matrix-vector kernels take.
    private final int gemvVectors;
    // Vectors at most that no product takes as e4m3.
    private final int wideVectors;
    private final boolean eights;
    private final Kernel gemvStore;
    private final Kernel gemvAdd;
    private final Kernel gemvSwiglu;
    private final Kernel expand;

    WeightProducts(
            CudaDevice device,
            CudaModules modules,
            Products products,
            StepMemory memory,
            CudaOptions.Computing computing) {
        this.device = device;
        this.products = products;
        this.memory = memory;
        gemvVectors = computing.deterministic() ? 0 : GEMV_VECTORS;
        wideVectors = StreamedProducts.isOn(device) ? Math.min(WIDE_VECTORS, gemvVectors) : gemvVectors;
        eights = computing.activations() == CudaOptions.Activations.FP8;
        gemvStore = modules.following("gemv", "gemvStore");
        gemvAdd = modules.following("gemv", "gemvAdd");
        gemvSwiglu = modules.following("gemv", "gemvSwiglu");
        expand = modules.following("weights", "expand");
    }

    /// Whether a product takes its vectors from [StepMemory#eights()].
    boolean takesEights(Matrix matrix, int vectors) {
        return eights
                && vectors > wideVectors
                && matrix.format() == WeightFormat.FP8_ROWS
                && matrix.rows() % EIGHTS_ALIGNMENT == 0;
    }

    /// Whether a product can have such outputs: gates joined with ups, in the kernel that multiplies.
    boolean makes(Matrix matrix, int vectors, Outputs into) {
        return into != Outputs.ACTIVATED
                || (vectors <= gemvVectors && !takesEights(matrix, vectors))
                || products.isOwn(extents(matrix, vectors, into));
    }

    /// Whether our own matrix-vector kernels make a product, unless another way was quicker.
    private boolean isOfFew(Extents extents) {
        return extents.operands() == Operands.BF16 && extents.vectors() <= gemvVectors;
    }

    /// Bytes of a row's result.
    private static long bytes(Outputs into, long rows) {
        return switch (into) {
            case F32, SUM -> 4 * rows;
            case BF16 -> 2 * rows;
            case ACTIVATED -> rows;
        };
    }

    /// A product with all of a matrix; in pieces of rows where it must become bf16 first.
    ///
    /// @param inputs `[vectors, columns]` bf16, unless the product takes e4m3
    /// @param outputs `[vectors, rows]`, of half the rows where activated
    void run(Matrix matrix, long inputs, long outputs, int vectors, Outputs into) {
        int stride = into == Outputs.ACTIVATED ? matrix.rows() / 2 : matrix.rows();
        if (matrix.format() == WeightFormat.BF16) {
            run(matrix.address(), inputs, outputs, matrix.rows(), matrix.columns(), vectors, stride, into);
            return;
        }
        Extents extents = extents(matrix, vectors, into);
        if (takesEights(matrix, vectors) || products.isOwn(extents)) {
            products.run(extents, operation(matrix, vectors, inputs, outputs));
        } else {
            runWidened(matrix, inputs, outputs, vectors, stride, into);
        }
    }

    private void runWidened(Matrix matrix, long inputs, long outputs, int vectors, int stride, Outputs into) {
        int most = StepMemory.expandedRows(matrix.columns());
        for (int row = 0; row < matrix.rows(); row += most) {
            int rows = Math.min(most, matrix.rows() - row);
            device.launch(
                    expand,
                    Grid.of(8 * device.multiprocessors(), 256),
                    matrix.address(),
                    matrix.scales(),
                    matrix.format().code(),
                    matrix.columns(),
                    row,
                    rows,
                    memory.expanded());
            long to = outputs + bytes(into, row);
            run(memory.expanded(), inputs, to, rows, matrix.columns(), vectors, stride, into);
        }
    }

    private void run(
            long matrix, long inputs, long outputs, int rows, int columns, int vectors, int stride, Outputs into) {
        Extents extents = new Extents(rows, columns, vectors, stride, Operands.BF16, into);
        Operation operation = new Operation(matrix, 0, inputs, 0, outputs);
        if (isOfFew(extents) && into != Outputs.BF16 && !products.isOwn(extents)) {
            multiplyFew(extents, operation);
        } else {
            products.run(extents, operation);
        }
    }

    private void multiplyFew(Extents extents, Operation operation) {
        Kernel kernel = switch (extents.outputs()) {
            case SUM -> gemvAdd;
            case ACTIVATED -> gemvSwiglu;
            case F32, BF16 -> gemvStore;
        };
        device.launch(
                kernel,
                Grid.of((extents.rows() + ROWS_A_TILE - 1) / ROWS_A_TILE, 256),
                operation.matrix(),
                operation.inputs(),
                extents.rows(),
                extents.columns(),
                extents.vectors(),
                operation.outputs(),
                extents.stride());
    }

    /// Of a product with all of a matrix at once.
    private Extents extents(Matrix matrix, int vectors, Outputs into) {
        return new Extents(
                matrix.rows(),
                matrix.columns(),
                vectors,
                into == Outputs.ACTIVATED ? matrix.rows() / 2 : matrix.rows(),
                takesEights(matrix, vectors) ? Operands.FP8 : Operands.of(matrix.format()),
                into);
    }

    private Operation operation(Matrix matrix, int vectors, long inputs, long outputs) {
        return takesEights(matrix, vectors)
                ? new Operation(matrix.address(), matrix.scales(), memory.eights(), memory.eightScales(), outputs)
                : new Operation(matrix.address(), matrix.scales(), inputs, 0, outputs);
    }

    /// Chooses the quickest way of a product with matrices of the same extents, where there are several.
    /// Pieces that are widened first are left to the library's choice: they are of many extents.
    ///
    /// @param between a small kernel as there is between a step's products
    void tune(List<Matrix> all, int vectors, Outputs into, long inputs, long outputs, Runnable between) {
        Matrix first = all.getFirst();
        Extents extents = extents(first, vectors, into);
        List<Matrix> alike = all.stream()
                .filter(matrix -> matrix.format() == first.format() && matrix.rows() == first.rows())
                .toList();
        if (isOfFew(extents)) {
            tuneFew(extents, alike, inputs, outputs, between);
        } else if (extents.operands().widened()) {
            products.tune(
                    extents,
                    runs(alike, matrix -> products.run(extents, operation(matrix, vectors, inputs, outputs))),
                    runs(alike, matrix -> runWidened(matrix, inputs, outputs, vectors, extents.stride(), into)),
                    between);
        } else {
            products.tune(
                    extents,
                    alike.stream()
                            .map(matrix -> operation(matrix, vectors, inputs, outputs))
                            .toList(),
                    between);
        }
    }

    private void tuneFew(Extents extents, List<Matrix> matrices, long inputs, long outputs, Runnable between) {
        Function<Matrix, Operation> operation = matrix -> operation(matrix, extents.vectors(), inputs, outputs);
        products.tune(
                extents,
                runs(matrices, matrix -> products.run(extents, operation.apply(matrix))),
                runs(matrices, matrix -> multiplyFew(extents, operation.apply(matrix))),
                between);
    }

    private static List<Runnable> runs(List<Matrix> matrices, Consumer<Matrix> way) {
        return matrices.stream()
                .<Runnable>map(matrix -> () -> way.accept(matrix))
                .toList();
    }

    /// Chooses whether gates are joined with ups by the kernel that multiplies. Our own matrix-vector kernels do it
    /// anyway.
    ///
    /// @param all of the same format
    /// @param ours how that is done, with a matrix each
    /// @param others how else
    void tuneActivation(
            List<Matrix> all,
            int vectors,
            long inputs,
            long outputs,
            List<Runnable> ours,
            List<Runnable> others,
            Runnable between) {
        Extents extents = extents(all.getFirst(), vectors, Outputs.ACTIVATED);
        if (isOfFew(extents)) {
            tuneFew(extents, all, inputs, outputs, between);
        } else {
            products.tune(extents, ours, others, between);
        }
    }
}
