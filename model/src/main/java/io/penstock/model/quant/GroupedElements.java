package io.penstock.model.quant;

/// A matrix of [WeightFormat.Grouped], for whoever keeps its integers as they are: a weight is
/// `(element - zero) * scale`.
public interface GroupedElements extends MatrixDecoder {
    /// @param row an output
    /// @return unsigned, of the format's bits
    int element(int row, int input);

    /// Of the input's group; one more than the greatest element at most.
    int zero(int row, int input);

    /// Of the input's group.
    float scale(int row, int input);

    /// The least that says what these tensors hold: runs for groups where the stored order is that of
    /// the inputs, [WeightFormat.Zeros#MIDDLE] where all zeros are. Writers tell both where a reader
    /// could do without.
    WeightFormat.Grouped simplest();
}
