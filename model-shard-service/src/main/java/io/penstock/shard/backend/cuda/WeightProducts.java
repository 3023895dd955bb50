package io.penstock.shard.backend.cuda;

import io.penstock.shard.backend.cuda.CublasLt.Extents;
import io.penstock.shard.backend.cuda.CublasLt.Operands;
import io.penstock.shard.backend.cuda.CublasLt.Operation;
import io.penstock.shard.backend.cuda.CublasLt.Outputs;
import io.penstock.shard.backend.cuda.Launcher.Grid;
import java.util.List;

/// Products of vectors with matrices of every weight format: of few vectors by our own matrix-vector kernels, of more
/// by
/// [Products], with weights as they are or, a piece at a time, widened to bf16.
final class WeightProducts {
    /// Vectors that our own matrix-vector kernels take at once.
    private static final int GEMV_VECTORS = 8;

    private static final int ROWS_A_TILE = 16;
    /// What cuBLASLt wants extents of e4m3 operands to be multiples of.
    private static final int EIGHTS_ALIGNMENT = 16;

    private final CudaDevice device;
    private final Products products;
    private final StepMemory memory;
    // Vectors at most that our own matrix-vector kernels take.
    private final int gemvVectors;
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
        eights = computing.activations() == CudaOptions.Activations.FP8;
        gemvStore = modules.following("gemv", "gemvStore");
        gemvAdd = modules.following("gemv", "gemvAdd");
        gemvSwiglu = modules.following("gemv", "gemvSwiglu");
        expand = modules.following("weights", "expand");
    }

    /// Whether a product takes its vectors from [StepMemory#eights()].
    boolean takesEights(Matrix matrix, int vectors) {
        return eights
                && vectors > gemvVectors
                && matrix.format() == WeightFormat.FP8_ROWS
                && matrix.rows() % EIGHTS_ALIGNMENT == 0;
    }

    /// Whether a product can have such outputs: gates joined with ups, in the kernel that multiplies.
    boolean makes(Matrix matrix, int vectors, Outputs into) {
        return into != Outputs.ACTIVATED
                || vectors <= gemvVectors
                || (isWhole(matrix, vectors) && products.isOwn(extents(matrix, vectors, into)));
    }

    /// Vectors up to which nothing is to be chosen.
    int untunedVectors() {
        return gemvVectors;
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
        if (isWhole(matrix, vectors)) {
            products.run(extents(matrix, vectors, into), operation(matrix, inputs, outputs));
            return;
        }
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
        if (vectors <= gemvVectors && into != Outputs.BF16) {
            Kernel kernel = switch (into) {
                case SUM -> gemvAdd;
                case ACTIVATED -> gemvSwiglu;
                case F32, BF16 -> gemvStore;
            };
            device.launch(
                    kernel,
                    Grid.of((rows + ROWS_A_TILE - 1) / ROWS_A_TILE, 256),
                    matrix,
                    inputs,
                    rows,
                    columns,
                    vectors,
                    outputs,
                    stride);
            return;
        }
        products.run(
                new Extents(rows, columns, vectors, stride, Operands.BF16, into),
                new Operation(matrix, 0, inputs, 0, outputs));
    }

    /// Whether a matrix is multiplied as it is, not in pieces that are widened.
    boolean isWhole(Matrix matrix, int vectors) {
        return matrix.format() == WeightFormat.BF16 || takesEights(matrix, vectors);
    }

    /// Of a product with all of a matrix at once.
    private Extents extents(Matrix matrix, int vectors, Outputs into) {
        return new Extents(
                matrix.rows(),
                matrix.columns(),
                vectors,
                into == Outputs.ACTIVATED ? matrix.rows() / 2 : matrix.rows(),
                takesEights(matrix, vectors) ? Operands.FP8 : Operands.BF16,
                into);
    }

    private Operation operation(Matrix matrix, long inputs, long outputs) {
        return matrix.format() == WeightFormat.BF16
                ? new Operation(matrix.address(), 0, inputs, 0, outputs)
                : new Operation(matrix.address(), matrix.scales(), memory.eights(), memory.eightScales(), outputs);
    }

    /// Chooses the quickest way of a product with matrices of the same extents. What is widened first is left to the
    /// library's choice: its pieces are of many extents.
    ///
    /// @param between a small kernel as there is between a step's products
    void tune(List<Matrix> all, int vectors, Outputs into, long inputs, long outputs, Runnable between) {
        Matrix first = all.getFirst();
        List<Operation> operations = all.stream()
                .filter(matrix -> matrix.format() == first.format() && matrix.rows() == first.rows())
                .map(matrix -> operation(matrix, inputs, outputs))
                .toList();
        if (isWhole(first, vectors)) {
            products.tune(extents(first, vectors, into), operations, between);
        }
    }

    /// Chooses whether gates are joined with ups by the kernel that multiplies.
    ///
    /// @param ours how that is done, with a matrix each
    /// @param others how else
    void tune(Matrix gateUp, int vectors, List<Runnable> ours, List<Runnable> others, Runnable between) {
        products.tune(extents(gateUp, vectors, Outputs.ACTIVATED), ours, others, between);
    }
}
