package io.penstock.shard.backend.cuda;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.ArrayList;
import java.util.List;

/// Matrix products of more than a few vectors, by cuBLASLt of whichever CUDA is installed. A product
/// is planned once and then only run. For one thread.
final class CublasLt implements AutoCloseable {
    /// Device memory that products may use meanwhile.
    static final long WORKSPACE = 32L << 20;

    private static final int COMPUTE_F32 = 68;
    private static final int TYPE_F32 = 0;
    private static final int TYPE_BF16 = 14;
    private static final int TYPE_E4M3 = 28;
    private static final int ATTRIBUTE_TRANSPOSE_A = 3;
    private static final int ATTRIBUTE_SCALES_A = 17;
    private static final int ATTRIBUTE_SCALES_B = 18;
    private static final int ATTRIBUTE_SCALE_MODE_A = 31;
    private static final int ATTRIBUTE_SCALE_MODE_B = 32;
    private static final int SCALES_OF_VECTORS = 3;
    private static final int TRANSPOSED = 1;
    private static final int ATTRIBUTE_WORKSPACE = 1;
    private static final int RESULT_BYTES = 96;
    private static final int ALGORITHM_BYTES = 64;
    private static final int ALGORITHM_PARTS = 2;
    private static final int UNSUPPORTED = 15;

    private final Arena arena = Arena.ofShared();
    private final long handle;
    private final long workspace;
    private final MemorySegment one;
    private final MemorySegment zero;
    private final MemorySegment pointer;

    /// @param workspace device address of [#WORKSPACE] bytes
    CublasLt(long workspace) {
        this.workspace = workspace;
        one = arena.allocateFrom(JAVA_FLOAT, 1f);
        zero = arena.allocateFrom(JAVA_FLOAT, 0f);
        pointer = arena.allocate(JAVA_LONG);
        MemorySegment out = arena.allocate(JAVA_LONG);
        try {
            check("cublasLtCreate", (int) Library.CREATE.invokeExact(out));
        } catch (Throwable e) {
            throw rethrown(e);
        }
        handle = out.get(JAVA_LONG, 0);
    }

    /// What weights and vectors are. Products with weights of other formats and vectors of bf16 are by our own kernels
    /// only.
    enum Operands {
        BF16(WeightFormat.BF16, false),
        /// e4m3, an f32 scale for each row of weights and for each vector.
        FP8(WeightFormat.FP8_ROWS, false),
        FP8_ROWS_BF16(WeightFormat.FP8_ROWS, true),
        FP8_BLOCKS_BF16(WeightFormat.FP8_BLOCKS, true),
        INT4_BF16(WeightFormat.INT4, true),
        INT4_ZEROS_BF16(WeightFormat.INT4_ZEROS, true);

        private final WeightFormat weights;
        private final boolean widened;

        Operands(WeightFormat weights, boolean widened) {
            this.weights = weights;
            this.widened = widened;
        }

        /// Vectors of bf16 with weights of a format.
        static Operands of(WeightFormat weights) {
            return switch (weights) {
                case BF16 -> BF16;
                case FP8_ROWS -> FP8_ROWS_BF16;
                case FP8_BLOCKS -> FP8_BLOCKS_BF16;
                case INT4 -> INT4_BF16;
                case INT4_ZEROS -> INT4_ZEROS_BF16;
            };
        }

        WeightFormat weights() {
            return weights;
        }

        /// Whether weights become bf16 as the vectors are, on the way to be multiplied.
        boolean widened() {
            return widened;
        }

        /// Bytes of an element of a vector.
        int vectorBytes() {
            return this == FP8 ? 1 : 2;
        }
    }

    /// What becomes of a product.
    enum Outputs {
        F32,
        BF16,
        /// Added to f32.
        SUM,
        /// `silu(gate) * up` as bf16, of rows that are 8 gates' and 8 ups' in turn; by our own kernels only.
        ACTIVATED
    }

    /// `y = W x` or `y += W x` for all of `vectors` vectors x.
    ///
    /// @param rows of W, outputs
    /// @param columns of W, inputs
    /// @param stride from a vector of outputs to the next
    record Extents(int rows, int columns, int vectors, int stride, Operands operands, Outputs outputs) {

        /// The same of another number of vectors.
        Extents of(int others) {
            return new Extents(rows, columns, others, stride, operands, outputs);
        }
    }

    /// A matrix and vectors where they lie, all of them device addresses.
    ///
    /// @param scales what the matrix' format keeps apart, or 0; `inputScales` the vectors', of e4m3
    record Operation(long matrix, long scales, long inputs, long inputScales, long outputs) {}

    /// Algorithms for a product, what the library holds best first; none where it has none.
    List<Product> candidates(Extents extents, int most) {
        try (Arena calls = Arena.ofConfined()) {
            Product plan = describe(extents, calls);
            MemorySegment out = calls.allocate(JAVA_LONG);
            check("cublasLtMatmulPreferenceCreate", (int) Library.PREFER.invokeExact(out));
            long preference = out.get(JAVA_LONG, 0);
            MemorySegment bytes = calls.allocateFrom(JAVA_LONG, WORKSPACE);
            check("cublasLtMatmulPreferenceSetAttribute", (int)
                    Library.SET_PREFERENCE.invokeExact(preference, ATTRIBUTE_WORKSPACE, bytes, 8L));
            MemorySegment results = calls.allocate((long) RESULT_BYTES * most, 16);
            MemorySegment found = calls.allocate(JAVA_INT);
            int status = (int) Library.CHOOSE.invokeExact(
                    handle, plan.description, plan.w, plan.x, plan.y, plan.y, preference, most, results, found);
            check("cublasLtMatmulPreferenceDestroy", (int) Library.DESTROY_PREFERENCE.invokeExact(preference));
            if (status != UNSUPPORTED) {
                check("cublasLtMatmulAlgoGetHeuristic", status);
            }
            List<Product> all = new ArrayList<>();
            for (int i = 0; status == 0 && i < found.get(JAVA_INT, 0); i++) {
                all.add(plan.by(
                        results.asSlice((long) i * RESULT_BYTES, ALGORITHM_BYTES)
                                .toArray(JAVA_BYTE),
                        arena));
            }
            return all;
        } catch (Throwable e) {
            throw rethrown(e);
        }
    }

    /// A product by an algorithm that was found for the same operands and types.
    ///
    /// @throws CudaException if it does not serve these extents
    Product plan(Extents extents, byte[] algorithm) {
        try (Arena calls = Arena.ofConfined()) {
            Product plan = describe(extents, calls).by(algorithm, arena);
            MemorySegment result = calls.allocate(RESULT_BYTES, 16);
            check("cublasLtMatmulAlgoCheck of " + extents, (int) Library.CHECK.invokeExact(
                    handle, plan.description, plan.w, plan.x, plan.y, plan.y, plan.algorithm, result));
            return plan;
        } catch (Throwable e) {
            throw rethrown(e);
        }
    }

    private Product describe(Extents extents, Arena calls) throws Throwable {
        MemorySegment out = calls.allocate(JAVA_LONG);
        check("cublasLtMatmulDescCreate", (int) Library.DESCRIBE.invokeExact(out, COMPUTE_F32, TYPE_F32));
        long description = out.get(JAVA_LONG, 0);
        set(description, ATTRIBUTE_TRANSPOSE_A, calls.allocateFrom(JAVA_INT, TRANSPOSED));
        boolean eights = extents.operands == Operands.FP8;
        if (eights) {
            MemorySegment mode = calls.allocateFrom(JAVA_INT, SCALES_OF_VECTORS);
            set(description, ATTRIBUTE_SCALE_MODE_A, mode);
            set(description, ATTRIBUTE_SCALE_MODE_B, mode);
            // There is no algorithm without an address, whichever.
            MemorySegment any = calls.allocateFrom(JAVA_LONG, workspace);
            set(description, ATTRIBUTE_SCALES_A, any);
            set(description, ATTRIBUTE_SCALES_B, any);
        }
        int type = eights ? TYPE_E4M3 : TYPE_BF16;
        // The library thinks in columns: a row-major [rows, columns] is its transpose.
        long w = layout(out, type, extents.columns, extents.rows, extents.columns);
        long x = layout(out, type, extents.columns, extents.vectors, extents.columns);
        long y = layout(
                out,
                extents.outputs == Outputs.BF16 ? TYPE_BF16 : TYPE_F32,
                extents.rows,
                extents.vectors,
                extents.stride);
        return new Product(description, w, x, y, MemorySegment.NULL, eights, extents.outputs == Outputs.SUM);
    }

    private static void set(long description, int attribute, MemorySegment value) throws Throwable {
        check("cublasLtMatmulDescSetAttribute %d".formatted(attribute), (int)
                Library.SET.invokeExact(description, attribute, value, value.byteSize()));
    }

    private static long layout(MemorySegment out, int type, long rows, long columns, long leading) throws Throwable {
        check("cublasLtMatrixLayoutCreate", (int) Library.LAYOUT.invokeExact(out, type, rows, columns, leading));
        return out.get(JAVA_LONG, 0);
    }

    /// Whether an algorithm sums parts of the columns on their own and joins them.
    boolean partsColumns(Product product) {
        try (Arena calls = Arena.ofConfined()) {
            MemorySegment parts = calls.allocate(JAVA_INT);
            MemorySegment written = calls.allocate(JAVA_LONG);
            check("cublasLtMatmulAlgoConfigGetAttribute", (int)
                    Library.CONFIGURATION.invokeExact(product.algorithm, ALGORITHM_PARTS, parts, 4L, written));
            return parts.get(JAVA_INT, 0) > 1;
        } catch (Throwable e) {
            throw rethrown(e);
        }
    }

    /// Puts a planned product on a stream.
    void run(Product product, Operation operation, long stream) {
        // A variable: its type must be exactly that of the handle's parameter.
        MemorySegment beta = product.add ? one : zero;
        try {
            if (product.eights) {
                pointer.set(JAVA_LONG, 0, operation.scales);
                set(product.description, ATTRIBUTE_SCALES_A, pointer);
                pointer.set(JAVA_LONG, 0, operation.inputScales);
                set(product.description, ATTRIBUTE_SCALES_B, pointer);
            }
            check("cublasLtMatmul", (int) Library.MULTIPLY.invokeExact(
                    handle,
                    product.description,
                    one,
                    operation.matrix,
                    product.w,
                    operation.inputs,
                    product.x,
                    beta,
                    operation.outputs,
                    product.y,
                    operation.outputs,
                    product.y,
                    product.algorithm,
                    workspace,
                    WORKSPACE,
                    stream));
        } catch (Throwable e) {
            throw rethrown(e);
        }
    }

    private static void check(String what, int status) {
        if (status != 0) {
            throw new CudaException(status, "%s of %s failed: %d", what, Library.LIBRARY.name(), status);
        }
    }

    private static RuntimeException rethrown(Throwable e) {
        return switch (e) {
            case RuntimeException unchecked -> unchecked;
            case Error error -> throw error;
            default -> new IllegalStateException(e);
        };
    }

    @Override
    public void close() {
        try {
            check("cublasLtDestroy", (int) Library.DESTROY.invokeExact(handle));
        } catch (Throwable e) {
            throw rethrown(e);
        } finally {
            arena.close();
        }
    }

    /// A matrix product, planned. Its descriptions are few and live as long as the process.
    record Product(long description, long w, long x, long y, MemorySegment algorithm, boolean eights, boolean add) {
        private Product by(byte[] bytes, Arena arena) {
            MemorySegment kept = arena.allocate(ALGORITHM_BYTES, 16);
            MemorySegment.copy(bytes, 0, kept, JAVA_BYTE, 0, ALGORITHM_BYTES);
            return new Product(description, w, x, y, kept, eights, add);
        }

        byte[] algorithmBytes() {
            return algorithm.toArray(JAVA_BYTE);
        }
    }

    private static final class Library {
        static final NativeLibrary LIBRARY = NativeLibrary.find("libcublasLt.so.13", "libcublasLt.so.12");
        static final MethodHandle CREATE = LIBRARY.function("cublasLtCreate", JAVA_INT, ADDRESS);
        static final MethodHandle DESTROY = LIBRARY.function("cublasLtDestroy", JAVA_INT, JAVA_LONG);
        static final MethodHandle DESCRIBE =
                LIBRARY.function("cublasLtMatmulDescCreate", JAVA_INT, ADDRESS, JAVA_INT, JAVA_INT);
        static final MethodHandle SET =
                LIBRARY.function("cublasLtMatmulDescSetAttribute", JAVA_INT, JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG);
        static final MethodHandle LAYOUT = LIBRARY.function(
                "cublasLtMatrixLayoutCreate", JAVA_INT, ADDRESS, JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG);
        static final MethodHandle PREFER = LIBRARY.function("cublasLtMatmulPreferenceCreate", JAVA_INT, ADDRESS);
        static final MethodHandle SET_PREFERENCE = LIBRARY.function(
                "cublasLtMatmulPreferenceSetAttribute", JAVA_INT, JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG);
        static final MethodHandle DESTROY_PREFERENCE =
                LIBRARY.function("cublasLtMatmulPreferenceDestroy", JAVA_INT, JAVA_LONG);
        static final MethodHandle CHOOSE = LIBRARY.function(
                "cublasLtMatmulAlgoGetHeuristic",
                JAVA_INT,
                JAVA_LONG,
                JAVA_LONG,
                JAVA_LONG,
                JAVA_LONG,
                JAVA_LONG,
                JAVA_LONG,
                JAVA_LONG,
                JAVA_INT,
                ADDRESS,
                ADDRESS);
        static final MethodHandle CHECK = LIBRARY.function(
                "cublasLtMatmulAlgoCheck",
                JAVA_INT,
                JAVA_LONG,
                JAVA_LONG,
                JAVA_LONG,
                JAVA_LONG,
                JAVA_LONG,
                JAVA_LONG,
                ADDRESS,
                ADDRESS);
        static final MethodHandle CONFIGURATION = LIBRARY.function(
                "cublasLtMatmulAlgoConfigGetAttribute", JAVA_INT, ADDRESS, JAVA_INT, ADDRESS, JAVA_LONG, ADDRESS);
        static final MethodHandle MULTIPLY = LIBRARY.function(
                "cublasLtMatmul",
                JAVA_INT,
                JAVA_LONG,
                JAVA_LONG,
                ADDRESS,
                JAVA_LONG,
                JAVA_LONG,
                JAVA_LONG,
                JAVA_LONG,
                ADDRESS,
                JAVA_LONG,
                JAVA_LONG,
                JAVA_LONG,
                JAVA_LONG,
                ADDRESS,
                JAVA_LONG,
                JAVA_LONG,
                JAVA_LONG);
    }
}
