package io.penstock.shard.backend.cuda;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/// Matrix products of more than a few rows, by cuBLASLt of whichever CUDA is installed. A product
/// is planned once, with the library's own choice of kernel, and then only run. For one thread.
final class CublasLt implements AutoCloseable {
    /// Device memory that products may use meanwhile.
    static final long WORKSPACE = 32L << 20;

    private static final int COMPUTE_F32 = 68;
    private static final int TYPE_F32 = 0;
    private static final int TYPE_BF16 = 14;
    private static final int ATTRIBUTE_TRANSPOSE_A = 3;
    private static final int TRANSPOSED = 1;
    private static final int ATTRIBUTE_WORKSPACE = 1;
    private static final int RESULT_BYTES = 96;
    private static final int ALGORITHM_BYTES = 64;

    private final Arena arena = Arena.ofShared();
    private final long handle;
    private final long workspace;
    private final MemorySegment one;
    private final MemorySegment zero;

    /// @param workspace device address of [#WORKSPACE] bytes
    CublasLt(long workspace) {
        this.workspace = workspace;
        one = arena.allocateFrom(JAVA_FLOAT, 1f);
        zero = arena.allocateFrom(JAVA_FLOAT, 0f);
        MemorySegment out = arena.allocate(JAVA_LONG);
        try {
            check("cublasLtCreate", (int) Library.CREATE.invokeExact(out));
        } catch (Throwable e) {
            throw rethrown(e);
        }
        handle = out.get(JAVA_LONG, 0);
    }

    /// `y = W x` or `y += W x` for all of `tokens` vectors x.
    ///
    /// @param rows of W, outputs
    /// @param columns of W, inputs
    /// @param stride from a vector of outputs to the next
    Product plan(int rows, int columns, int tokens, int stride, boolean floatOutput, boolean add) {
        try {
            MemorySegment out = arena.allocate(JAVA_LONG);
            check("cublasLtMatmulDescCreate", (int) Library.DESCRIBE.invokeExact(out, COMPUTE_F32, TYPE_F32));
            long description = out.get(JAVA_LONG, 0);
            MemorySegment transpose = arena.allocateFrom(JAVA_INT, TRANSPOSED);
            check("cublasLtMatmulDescSetAttribute", (int)
                    Library.SET.invokeExact(description, ATTRIBUTE_TRANSPOSE_A, transpose, 4L));
            // The library thinks in columns: a row-major [rows, columns] is its transpose.
            long w = layout(out, TYPE_BF16, columns, rows, columns);
            long x = layout(out, TYPE_BF16, columns, tokens, columns);
            long y = layout(out, floatOutput ? TYPE_F32 : TYPE_BF16, rows, tokens, stride);
            check("cublasLtMatmulPreferenceCreate", (int) Library.PREFER.invokeExact(out));
            long preference = out.get(JAVA_LONG, 0);
            MemorySegment bytes = arena.allocateFrom(JAVA_LONG, WORKSPACE);
            check("cublasLtMatmulPreferenceSetAttribute", (int)
                    Library.SET_PREFERENCE.invokeExact(preference, ATTRIBUTE_WORKSPACE, bytes, 8L));
            MemorySegment result = arena.allocate(RESULT_BYTES, 16);
            MemorySegment found = arena.allocate(JAVA_INT);
            check("cublasLtMatmulAlgoGetHeuristic", (int)
                    Library.CHOOSE.invokeExact(handle, description, w, x, y, y, preference, 1, result, found));
            check("cublasLtMatmulPreferenceDestroy", (int) Library.DESTROY_PREFERENCE.invokeExact(preference));
            if (found.get(JAVA_INT, 0) == 0) {
                throw new CudaException(15, "cuBLASLt has no kernel for [%d, %d] x %d tokens", rows, columns, tokens);
            }
            return new Product(description, w, x, y, result.asSlice(0, ALGORITHM_BYTES), add);
        } catch (Throwable e) {
            throw rethrown(e);
        }
    }

    private static long layout(MemorySegment out, int type, long rows, long columns, long leading) throws Throwable {
        check("cublasLtMatrixLayoutCreate", (int) Library.LAYOUT.invokeExact(out, type, rows, columns, leading));
        return out.get(JAVA_LONG, 0);
    }

    /// Puts a planned product on a stream; all but the plan are device addresses.
    void run(Product product, long weights, long inputs, long outputs, long stream) {
        // A variable: its type must be exactly that of the handle\'s parameter.
        MemorySegment beta = product.add ? one : zero;
        try {
            check("cublasLtMatmul", (int) Library.MULTIPLY.invokeExact(
                    handle,
                    product.description,
                    one,
                    weights,
                    product.w,
                    inputs,
                    product.x,
                    beta,
                    outputs,
                    product.y,
                    outputs,
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
    record Product(long description, long w, long x, long y, MemorySegment algorithm, boolean add) {}

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
