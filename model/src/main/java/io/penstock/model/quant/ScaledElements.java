package io.penstock.model.quant;

import java.lang.foreign.MemorySegment;

/// A matrix of [WeightFormat.Scaled], for whoever keeps its elements as they are: a weight is its element times a
/// scale.
public interface ScaledElements extends MatrixDecoder {
    /// Copies the elements of a part of a row, a byte each.
    ///
    /// @param row an output
    /// @param column first input
    void copy(int row, int column, int count, MemorySegment target, long start);

    float scale(int row, int column);
}
