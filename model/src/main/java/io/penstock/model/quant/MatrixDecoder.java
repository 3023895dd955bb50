package io.penstock.model.quant;

import io.penstock.model.quant.WeightFormat.Grouped;
import io.penstock.model.quant.WeightFormat.Scaled;
import io.penstock.model.quant.WeightFormat.Tabled;
import io.penstock.model.tensor.DType;
import java.util.EnumMap;
import java.util.Map;
import java.util.Map.Entry;

/// Turns a stored matrix into floats, wherever its tensors say what its weights are: the definition
/// that every faster reading must equal. Scales are widened to f32, and products rounded in the order
/// that [WeightFormat] writes them.
@FunctionalInterface
public interface MatrixDecoder {
    /// Decodes a part of a row.
    ///
    /// @param row an output
    /// @param column first input, a multiple of the block of a format that has some
    /// @param count inputs
    /// @param start of the first in `target`
    void decode(int row, int column, int count, float[] target, int start);

    /// @param columns inputs
    /// @param payload of a type that stands alone, `[rows, columns]`
    static MatrixDecoder plain(StoredTensor payload, int columns) {
        Decoder decoder = Decoder.of(payload.dtype());
        long stride = payload.dtype().bytesFor(columns);
        DType dtype = payload.dtype();
        return (row, column, count, target, start) ->
                decoder.decode(payload.bytes(), row * stride + dtype.bytesFor(column), target, start, count);
    }

    /// @param companions those that the format has
    /// @throws IllegalArgumentException if a tensor is missing or of another shape
    static MatrixDecoder of(StoredMatrix matrix, StoredTensor payload, Map<Companion, StoredTensor> companions) {
        require(matrix, "payload", matrix.payload(), payload);
        for (Entry<Companion, StoredMatrix.Expected> expected :
                matrix.companions().entrySet()) {
            require(matrix, expected.getKey(), expected.getValue(), companions.get(expected.getKey()));
        }
        Map<Companion, StoredTensor> beside = new EnumMap<>(Companion.class);
        beside.putAll(companions);
        return switch (matrix.format()) {
            case Scaled scaled -> new ScaledDecoder(scaled, matrix, payload, beside);
            case Grouped grouped -> new GroupedDecoder(grouped, matrix, payload, beside);
            case Tabled tabled -> new TabledDecoder(tabled, matrix, payload, beside);
        };
    }

    private static void require(StoredMatrix matrix, Object what, StoredMatrix.Expected expected, StoredTensor tensor) {
        if (tensor == null || !expected.fits(tensor.dtype(), tensor.shape())) {
            throw new IllegalArgumentException("%s: %s is %s, %s is expected"
                    .formatted(
                            matrix,
                            what,
                            tensor == null ? "missing" : tensor.shape() + " of " + tensor.dtype(),
                            expected));
        }
    }
}
