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
import java.util.Random;

/// [StreamedProducts] against plain Java: every kind of output, extents that fill no tile, fewer tiles than blocks and
/// more, each product twice, so that what the first leaves behind is seen.
final class ProductCheck {
    private static final int[] VECTORS = {9, 16, 33, 64, 100, 128};
    // Three tiles, the last one not full; eleven slices.
    private static final int SMALL_ROWS = 272;
    private static final int LARGE_ROWS = 40_016;

    private final CudaDevice device;
    private final StreamedProducts products;
    private final Random random = new Random(7);

    private ProductCheck(CudaDevice device, StreamedProducts products) {
        this.device = device;
        this.products = products;
    }

    static void run(CudaDevice device, CudaModules modules) {
        run(device, modules, VECTORS, LARGE_ROWS);
    }

    /// @param counts of vectors
    /// @param largeRows of a matrix with many tiles
    static void run(CudaDevice device, CudaModules modules, int[] counts, int largeRows) {
        try (Arena arena = Arena.ofConfined()) {
            DeviceMemory parts = device.allocate(StreamedProducts.partBytes(device.multiprocessors()));
            DeviceMemory flags = device.allocate(4L * device.multiprocessors());
            device.zero(flags);
            StreamedProducts products = StreamedProducts.of(device, modules, parts.address(), flags.address(), arena);
            if (products == null) {
                GpuCheck.report(true, "streamed products: not on this device");
                return;
            }
            ProductCheck check = new ProductCheck(device, products);
            for (Operands operands : Operands.values()) {
                int columns = operands == Operands.BF16 ? 11 * 64 : 11 * 128;
                for (Outputs outputs : new Outputs[] {Outputs.F32, Outputs.SUM, Outputs.ACTIVATED}) {
                    for (int vectors : counts) {
                        check.product(operands, outputs, SMALL_ROWS, columns, vectors);
                    }
                    check.product(operands, outputs, largeRows, 256, 33);
                }
            }
            device.free(parts);
            device.free(flags);
        }
    }

    private void product(Operands operands, Outputs outputs, int rows, int columns, int vectors) {
        int stride = outputs == Outputs.ACTIVATED ? rows / 2 : rows;
        Extents extents = new Extents(rows, columns, vectors, stride, operands, outputs);
        float[] matrix = new float[rows * columns];
        float[] inputs = new float[vectors * columns];
        DeviceMemory matrixAt = upload(fill(matrix, operands));
        DeviceMemory inputsAt = upload(fill(inputs, operands));
        float[] scales = scales(rows);
        float[] inputScales = scales(vectors);
        DeviceMemory scalesAt = upload(MemorySegment.ofArray(scales));
        DeviceMemory inputScalesAt = upload(MemorySegment.ofArray(inputScales));
        int outputBytes = 4 * vectors * rows;
        DeviceMemory outputsAt = device.allocate(outputBytes);
        device.zero(outputsAt);
        Operation operation = new Operation(
                matrixAt.address(),
                scalesAt.address(),
                inputsAt.address(),
                inputScalesAt.address(),
                outputsAt.address());
        products.run(extents, operation);
        products.run(extents, operation);
        HostMemory back = device.allocateHost(outputBytes);
        device.download(back, outputsAt.address(), outputBytes);
        device.synchronize();
        // Of the products' sizes: tensor cores add those of e4m3 with 14 bits.
        double exact = operands == Operands.FP8 ? 0x1p-11 : 0x1p-18;
        double worst = 0;
        for (int v = 0; v < vectors; v++) {
            float vectorScale = operands == Operands.FP8 ? inputScales[v] : 1;
            for (int r = 0; r < rows; r++) {
                if (outputs == Outputs.ACTIVATED && r % 16 >= 8) {
                    continue;
                }
                float rowScale = operands == Operands.FP8 ? scales[r] : 1;
                Sum sum = Sum.of(matrix, r, inputs, v, columns).times(rowScale * vectorScale);
                Sum expected = switch (outputs) {
                    case SUM -> sum.times(2);
                    case ACTIVATED -> {
                        float upScale = operands == Operands.FP8 ? scales[r + 8] : 1;
                        yield sum.activate(
                                Sum.of(matrix, r + 8, inputs, v, columns).times(upScale * vectorScale));
                    }
                    case F32, BF16 -> sum;
                };
                long at = (long) v * stride + (outputs == Outputs.ACTIVATED ? r / 16 * 8 + r % 8 : r);
                double actual = outputs == Outputs.ACTIVATED
                        ? Float.intBitsToFloat(back.segment().getAtIndex(JAVA_SHORT, at) << 16)
                        : back.segment().getAtIndex(JAVA_FLOAT, at);
                double rounding = outputs == Outputs.ACTIVATED ? 0x1p-8 * Math.abs(expected.value) : 0;
                worst = Math.max(worst, Math.abs(actual - expected.value) / (rounding + exact * expected.size));
            }
        }
        GpuCheck.report(worst < 1, "streamed product %s: error %.2f of what is allowed", extents, worst);
        for (DeviceMemory memory : new DeviceMemory[] {matrixAt, inputsAt, scalesAt, inputScalesAt, outputsAt}) {
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
    private MemorySegment fill(float[] values, Operands operands) {
        short[] halves = new short[values.length];
        byte[] eights = new byte[values.length];
        for (int i = 0; i < values.length; i++) {
            float value = random.nextFloat() - 0.5f;
            if (operands == Operands.BF16) {
                halves[i] = (short) (Float.floatToRawIntBits(value) >> 16);
                values[i] = Float.intBitsToFloat(halves[i] << 16);
            } else {
                // Sizes below 1.
                int code = random.nextInt(0x38);
                eights[i] = (byte) (value < 0 ? code | 0x80 : code);
                values[i] = Float.intBitsToFloat((eights[i] & 0x80) << 24 | code << 20) * 0x1p120f;
            }
        }
        return operands == Operands.BF16 ? MemorySegment.ofArray(halves) : MemorySegment.ofArray(eights);
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
