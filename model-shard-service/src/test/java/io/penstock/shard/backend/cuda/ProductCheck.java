package io.penstock.shard.backend.cuda;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import io.penstock.shard.backend.cuda.CublasLt.Extents;
import io.penstock.shard.backend.cuda.CublasLt.Operands;
import io.penstock.shard.backend.cuda.CublasLt.Operation;
import io.penstock.shard.backend.cuda.CublasLt.Outputs;
import io.penstock.shard.backend.cuda.CudaDevice.DeviceMemory;
import io.penstock.shard.backend.cuda.CudaDevice.HostMemory;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;

/// [OwnProducts] against plain Java: every kind of weights and of output, extents that fill no tile,
/// fewer tiles than blocks and more, each product twice, so that what the first leaves behind is seen.
/// Weights of other formats than bf16 are held to what they say, not to that rounded to bf16: as they lie
/// they are exact in bf16, and scales are f32.
final class ProductCheck {
    // A block's tile and a vector; one that is all of another block's; a cluster's; three blocks'.
    private static final int[] GATED_VECTORS = {129, 200, 256, 300};
    private static final int MANY_VECTORS = 8 * 256 + 2;
    private static final int[] VECTORS = {1, 8, 9, 16, 17, 33, 64, 65, 100, 127, 128};
    // A tile of 256 rows or two of 128, and one that is not full; eleven granules.
    private static final int SMALL_ROWS = 272;
    // Whose last 16 are not full either.
    private static final int ODD_ROWS = 263;
    private static final int LARGE_ROWS = 40_016;

    private final CudaDevice device;
    private final CudaModules modules;
    private final OwnProducts products;
    private final Random random = new Random(7);

    private ProductCheck(CudaDevice device, CudaModules modules, OwnProducts products) {
        this.device = device;
        this.modules = modules;
        this.products = products;
    }

    /// @param few numbers of vectors that alone are checked, of the small extents; none for all there is
    static void run(CudaDevice device, CudaModules modules, int... few) {
        run(device, modules, few, few.length > 0 ? 2 * SMALL_ROWS : LARGE_ROWS);
    }

    /// @param few see above
    /// @param largeRows of a matrix with many tiles
    static void run(CudaDevice device, CudaModules modules, int[] few, int largeRows) {
        try (Arena arena = Arena.ofConfined()) {
            DeviceMemory parts = device.allocate(StreamedProducts.partBytes(device.multiprocessors()));
            DeviceMemory flags = device.allocate(4L * device.multiprocessors());
            device.zero(flags);
            OwnProducts products = OwnProducts.of(device, modules, parts.address(), flags.address(), arena);
            if (products == null) {
                GpuCheck.report(true, "own products: not on this device");
                return;
            }
            ProductCheck check = new ProductCheck(device, modules, products);
            for (Operands operands : Operands.values()) {
                int columns = operands == Operands.BF16 ? 11 * 64 : 11 * 128;
                for (Outputs outputs : new Outputs[] {Outputs.F32, Outputs.SUM, Outputs.ACTIVATED}) {
                    check.products(operands, outputs, SMALL_ROWS, columns, few.length > 0 ? few : VECTORS);
                    check.products(
                            operands,
                            outputs,
                            largeRows,
                            256,
                            few.length > 0 ? new int[] {33} : new int[] {16, 33, 128});
                }
                if (few.length == 0) {
                    check.products(operands, Outputs.F32, ODD_ROWS, columns, 16, 64);
                    check.products(operands, Outputs.SUM, ODD_ROWS, columns, 17, 128);
                }
            }
            check.gated(few.length > 0, largeRows);
            device.free(parts);
            device.free(flags);
        }
    }

    /// Gates and ups of many vectors: rows that fill no tile, fewer stages than the ring has and more, more tiles than
    /// clusters, and more vectors than tiles of weights are shared by at once.
    private void gated(boolean few, int largeRows) {
        Operands operands = Operands.BF16;
        Outputs outputs = Outputs.ACTIVATED;
        products(operands, outputs, SMALL_ROWS, 7 * 64, few ? new int[] {129, 300} : GATED_VECTORS);
        products(operands, outputs, 2 * SMALL_ROWS + 16, 2 * 64, 200);
        products(operands, outputs, 16, 64, MANY_VECTORS);
        if (!few) {
            products(operands, outputs, SMALL_ROWS, 11 * 64, GATED_VECTORS);
            products(operands, outputs, largeRows / 10 / 16 * 16, 3 * 64, MANY_VECTORS, 1_000);
        }
    }

    /// A matrix on the device, and the values that it says.
    private record Weights(long address, long scales, float[] rowScales, float[] values) {}

    private void products(Operands operands, Outputs outputs, int rows, int columns, int... vectors) {
        float[] values = new float[rows * columns];
        if (operands.widened()) {
            fill(values, false);
            boolean halves = outputs == Outputs.ACTIVATED;
            DeviceArena measured = DeviceArena.measuring();
            Matrix.lay(measured, operands.weights(), rows, columns, halves);
            try (DeviceArena arena = DeviceArena.of(device, measured.used())) {
                Matrix matrix = Matrix.lay(arena, operands.weights(), rows, columns, halves);
                quantize(matrix, values);
                float[] stored = ScalarFormats.roundTrip(operands.weights(), values, rows, columns, halves);
                Weights weights = new Weights(matrix.address(), matrix.scales(), null, stored);
                for (int count : vectors) {
                    product(operands, outputs, weights, rows, columns, count);
                }
            }
            return;
        }
        DeviceMemory matrix = upload(fill(values, operands == Operands.FP8));
        float[] scales = scales(rows);
        DeviceMemory scalesAt = upload(MemorySegment.ofArray(scales));
        Weights weights = new Weights(matrix.address(), scalesAt.address(), scales, values);
        for (int count : vectors) {
            product(operands, outputs, weights, rows, columns, count);
        }
        device.free(matrix);
        device.free(scalesAt);
    }

    private void quantize(Matrix matrix, float[] values) {
        HostMemory host = device.allocateHost(2 * values.length);
        for (int i = 0; i < values.length; i++) {
            host.segment().setAtIndex(JAVA_SHORT, i, (short) (Float.floatToRawIntBits(values[i]) >>> 16));
        }
        try (Quantizer quantizer = new Quantizer(device, modules, List.of(matrix))) {
            device.upload(quantizer.landing(matrix), host, 2L * values.length);
            quantizer.landed(matrix);
        }
        device.free(host);
    }

    private void product(Operands operands, Outputs outputs, Weights weights, int rows, int columns, int vectors) {
        int stride = outputs == Outputs.ACTIVATED ? rows / 2 : rows;
        Extents extents = new Extents(rows, columns, vectors, stride, operands, outputs);
        boolean eights = operands == Operands.FP8;
        float[] inputs = new float[vectors * columns];
        DeviceMemory inputsAt = upload(fill(inputs, eights));
        float[] inputScales = scales(vectors);
        DeviceMemory inputScalesAt = upload(MemorySegment.ofArray(inputScales));
        int outputBytes = 4 * vectors * rows;
        DeviceMemory outputsAt = device.allocate(outputBytes);
        device.zero(outputsAt);
        Operation operation = new Operation(
                weights.address, weights.scales, inputsAt.address(), inputScalesAt.address(), outputsAt.address());
        products.run(extents, operation);
        products.run(extents, operation);
        HostMemory back = device.allocateHost(outputBytes);
        device.download(back, outputsAt.address(), outputBytes);
        device.synchronize();
        // Of the products' sizes: tensor cores add those of e4m3 with 14 bits.
        double exact = eights ? 0x1p-11 : 0x1p-18;
        double worst = IntStream.range(0, vectors)
                .parallel()
                .mapToDouble(v -> {
                    double most = 0;
                    for (int r = 0; r < rows; r++) {
                        if (outputs == Outputs.ACTIVATED && r % 16 >= 8) {
                            continue;
                        }
                        float vectorScale = eights ? inputScales[v] : 1;
                        float rowScale = eights ? weights.rowScales[r] : 1;
                        Sum sum = Sum.of(weights.values, r, inputs, v, columns).times(rowScale * vectorScale);
                        Sum expected = switch (outputs) {
                            case SUM -> sum.times(2);
                            case ACTIVATED -> {
                                float upScale = eights ? weights.rowScales[r + 8] : 1;
                                yield sum.activate(Sum.of(weights.values, r + 8, inputs, v, columns)
                                        .times(upScale * vectorScale));
                            }
                            case F32, BF16 -> sum;
                        };
                        long at = (long) v * stride + (outputs == Outputs.ACTIVATED ? r / 16 * 8 + r % 8 : r);
                        double actual = outputs == Outputs.ACTIVATED
                                ? Float.intBitsToFloat(back.segment().getAtIndex(JAVA_SHORT, at) << 16)
                                : back.segment().getAtIndex(JAVA_FLOAT, at);
                        double rounding = outputs == Outputs.ACTIVATED ? 0x1p-8 * Math.abs(expected.value) : 0;
                        double error = Math.abs(actual - expected.value) / (rounding + exact * expected.size);
                        // Not a number is the worst.
                        most = error <= most ? most : error;
                    }
                    return most;
                })
                .reduce(0, (a, b) -> b <= a ? a : b);
        long used = outputs == Outputs.ACTIVATED ? 2L * vectors * stride : outputBytes;
        MemorySegment behind = back.segment().asSlice(used, outputBytes - used);
        boolean ends = behind.mismatch(MemorySegment.ofArray(new byte[(int) behind.byteSize()])) < 0;
        GpuCheck.report(
                worst < 1 && ends,
                "own product %s: error %.2f of what is allowed%s",
                extents,
                worst,
                ends ? "" : ", and more behind its results");
        for (DeviceMemory memory : new DeviceMemory[] {inputsAt, inputScalesAt, outputsAt}) {
            device.free(memory);
        }
        device.free(back);
    }

    /// A sum of products, and that of their sizes.
    private record Sum(double value, double size) {
        static Sum of(float[] matrix, int row, float[] inputs, int vector, int columns) {
            double value = 0;
            double size = 0;
            for (int c = 0; c < columns; c++) {
                double product = (double) matrix[row * columns + c] * inputs[vector * columns + c];
                value += product;
                size += Math.abs(product);
            }
            return new Sum(value, size);
        }

        Sum times(double factor) {
            return new Sum(value * factor, size * factor);
        }

        Sum activate(Sum up) {
            double gate = value / (1 + Math.exp(-value));
            // The gate's slope is below 1.1.
            return new Sum(gate * up.value, 1.1 * size * Math.abs(up.value) + Math.abs(gate) * up.size);
        }
    }

    /// @return the values as the device takes them
    private MemorySegment fill(float[] values, boolean e4m3) {
        short[] halves = new short[values.length];
        byte[] eights = new byte[values.length];
        for (int i = 0; i < values.length; i++) {
            float value = random.nextFloat() - 0.5f;
            if (!e4m3) {
                halves[i] = (short) (Float.floatToRawIntBits(value) >> 16);
                values[i] = Float.intBitsToFloat(halves[i] << 16);
            } else {
                // Sizes below 1.
                int code = random.nextInt(0x38);
                eights[i] = (byte) (value < 0 ? code | 0x80 : code);
                values[i] = Float.intBitsToFloat((eights[i] & 0x80) << 24 | code << 20) * 0x1p120f;
            }
        }
        return e4m3 ? MemorySegment.ofArray(eights) : MemorySegment.ofArray(halves);
    }

    private float[] scales(int count) {
        float[] scales = new float[count];
        for (int i = 0; i < count; i++) {
            scales[i] = 0.5f + random.nextFloat();
        }
        return scales;
    }

    private DeviceMemory upload(MemorySegment from) {
        HostMemory host = device.allocateHost(Math.toIntExact(from.byteSize()));
        MemorySegment.copy(from, 0, host.segment(), 0, from.byteSize());
        DeviceMemory to = device.allocate(from.byteSize());
        device.upload(to.address(), host, from.byteSize());
        device.synchronize();
        device.free(host);
        return to;
    }
}
