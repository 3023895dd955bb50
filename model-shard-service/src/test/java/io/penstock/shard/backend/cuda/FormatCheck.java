package io.penstock.shard.backend.cuda;

import io.penstock.shard.backend.cuda.CudaDevice.DeviceMemory;
import io.penstock.shard.backend.cuda.CudaDevice.HostMemory;
import io.penstock.shard.backend.cuda.Launcher.Grid;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.Random;

/// A weight format on the device against [ScalarFormats]: bf16 values in, the format's values out
/// as bf16.
final class FormatCheck {
    private static final int ROWS = 248;
    private static final int COLUMNS = 384;

    private FormatCheck() {}

    static void run(CudaDevice device, CudaModules modules, WeightFormat format, boolean halves) {
        if (format == WeightFormat.BF16) {
            return;
        }
        int rows = halves ? 2 * ROWS : ROWS - 2;
        float[] values = values(rows, halves);
        DeviceArena measured = DeviceArena.measuring();
        Matrix.lay(measured, format, rows, COLUMNS, halves);
        HostMemory host = device.allocateHost(2 * values.length);
        DeviceMemory back = device.allocate(2L * values.length);
        int wrong = 0;
        try (DeviceArena arena = DeviceArena.of(device, measured.used())) {
            Matrix matrix = Matrix.lay(arena, format, rows, COLUMNS, halves);
            for (int i = 0; i < values.length; i++) {
                host.segment()
                        .setAtIndex(ValueLayout.JAVA_SHORT, i, (short) (Float.floatToRawIntBits(values[i]) >>> 16));
            }
            try (Quantizer quantizer = new Quantizer(device, modules, java.util.List.of(matrix))) {
                device.upload(quantizer.landing(matrix), host, 2L * values.length);
                quantizer.landed(matrix);
            }
            // From row 16 on, to see that pieces of rows are right.
            int from = 16;
            device.launch(
                    modules.kernel("weights", "expand"),
                    Grid.of(64, 256),
                    matrix.address(),
                    matrix.scales(),
                    format.code(),
                    COLUMNS,
                    from,
                    rows - from,
                    back.address());
            device.download(host, back.address(), 2L * (rows - from) * COLUMNS);
            device.synchronize();
            float[] expected = ScalarFormats.roundTrip(format, values, rows, COLUMNS, halves);
            for (int i = from * COLUMNS; i < values.length; i++) {
                short bits = host.segment().getAtIndex(ValueLayout.JAVA_SHORT, i - from * COLUMNS);
                wrong += Float.intBitsToFloat(bits << 16) == ScalarFormats.toBf16(expected[i]) ? 0 : 1;
            }
        }
        GpuCheck.report(wrong == 0, "format %s, halves %b: %d of %d wrong", format, halves, wrong, values.length);
        device.free(host);
        device.free(back);
    }

    // Of very different sizes from row to row, with zeros and rows of nothing else.
    private static float[] values(int rows, boolean halves) {
        Random random = new Random(halves ? 1 : 2);
        float[] values = new float[rows * COLUMNS];
        for (int r = 0; r < rows; r++) {
            float size = (float) Math.pow(2, random.nextInt(12) - 8);
            for (int c = 0; c < COLUMNS; c++) {
                float v = (float) random.nextGaussian() * size;
                values[r * COLUMNS + c] = random.nextInt(20) == 0 ? 0 : ScalarFormats.toBf16(v);
            }
        }
        Arrays.fill(values, 40 * COLUMNS, 41 * COLUMNS, 0);
        return values;
    }
}
