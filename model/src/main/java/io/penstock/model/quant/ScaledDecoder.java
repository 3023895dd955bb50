package io.penstock.model.quant;

import io.penstock.model.quant.WeightFormat.Scaled;
import java.lang.foreign.MemorySegment;
import java.util.Map;

/// Reads [Scaled].
final class ScaledDecoder implements ScaledElements {
    private final Decoder elements;
    private final StoredTensor payload;
    private final float[] scales;
    private final float unit;
    private final int columns;
    private final int tileRows;
    private final int tileColumns;
    private final int tilesAcross;

    ScaledDecoder(Scaled format, StoredMatrix matrix, StoredTensor payload, Map<Companion, StoredTensor> beside) {
        this.payload = payload;
        elements = Decoder.of(format.elements());
        scales = beside.get(Companion.SCALES).floats();
        unit = format.unit();
        columns = matrix.columns();
        tileRows = format.tileRows() == 0 ? matrix.rows() : format.tileRows();
        tileColumns = format.tileColumns() == 0 ? matrix.columns() : format.tileColumns();
        tilesAcross = format.tilesAcross(matrix.columns());
    }

    @Override
    public void decode(int row, int column, int count, float[] target, int start) {
        elements.decode(payload.bytes(), (long) row * columns + column, target, start, count);
        int tiles = row / tileRows * tilesAcross;
        for (int i = 0; i < count; i++) {
            target[start + i] = target[start + i] * scales[tiles + (column + i) / tileColumns] * unit;
        }
    }

    @Override
    public void copy(int row, int column, int count, MemorySegment target, long start) {
        MemorySegment.copy(payload.bytes(), (long) row * columns + column, target, start, count);
    }

    @Override
    public float scale(int row, int column) {
        return scales[row / tileRows * tilesAcross + column / tileColumns] * unit;
    }
}
