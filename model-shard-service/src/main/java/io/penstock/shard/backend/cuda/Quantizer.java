package io.penstock.shard.backend.cuda;

import io.penstock.shard.backend.cuda.Launcher.Grid;
import java.util.List;

/// Makes matrices of other formats from bf16 ones (weights.cu). Where a matrix is not bf16, its
/// bf16 values land in memory that all such matrices share, one after another on the device's
/// stream.
final class Quantizer implements AutoCloseable {
    private final CudaDevice device;
    private final Kernel fp8Rows;
    private final Kernel fp8Blocks;
    private final Kernel int4;
    private final CudaDevice.DeviceMemory landing;

    /// @param matrices that will be made: the largest says how much memory is taken
    Quantizer(CudaDevice device, CudaModules modules, List<Matrix> matrices) {
        this.device = device;
        fp8Rows = modules.kernel("weights", "quantizeFp8Rows");
        fp8Blocks = modules.kernel("weights", "quantizeFp8Blocks");
        int4 = modules.kernel("weights", "quantizeInt4");
        long bytes = matrices.stream()
                .filter(matrix -> matrix.format() != WeightFormat.BF16)
                .mapToLong(Matrix::wideBytes)
                .max()
                .orElse(0);
        landing = bytes == 0 ? null : device.allocate(bytes);
    }

    /// Where bf16 values of a matrix should be written.
    long landing(Matrix matrix) {
        return matrix.format() == WeightFormat.BF16 ? matrix.address() : landing.address();
    }

    /// To be called when they are.
    void landed(Matrix matrix) {
        int padded = (matrix.rows() + WeightFormat.TILE - 1) / WeightFormat.TILE * WeightFormat.TILE;
        switch (matrix.format()) {
            case BF16 -> {}
            case FP8_ROWS ->
                device.launch(
                        fp8Rows,
                        Grid.of(padded, 256),
                        landing.address(),
                        matrix.rows(),
                        matrix.columns(),
                        matrix.address(),
                        matrix.scales());
            case FP8_BLOCKS ->
                device.launch(
                        fp8Blocks,
                        new Grid(matrix.columns() / WeightFormat.GRANULE, (padded + 127) / 128, 1, 256, 0),
                        landing.address(),
                        matrix.rows(),
                        matrix.columns(),
                        matrix.halves() ? 1 : 0,
                        matrix.address(),
                        matrix.scales());
            case INT4, INT4_ZEROS ->
                device.launch(
                        int4,
                        new Grid(matrix.columns() / WeightFormat.GRANULE, (padded + 7) / 8, 1, 256, 0),
                        landing.address(),
                        matrix.rows(),
                        matrix.columns(),
                        matrix.format() == WeightFormat.INT4_ZEROS ? 1 : 0,
                        matrix.address());
        }
    }

    @Override
    public void close() {
        if (landing != null) {
            device.synchronize();
            device.free(landing);
        }
    }
}
