package io.penstock.model.checkpoint;

import io.penstock.model.config.ModelConfig;
import io.penstock.model.quant.StoredMatrix;
import java.util.Map;

/// What the heads of a checkpoint's files say, validated: its configuration and where each tensor lies.
/// Holds no weights and no open file.
///
/// Tensors are keyed by the canonical names of [io.penstock.model.tensor.TensorNames], whatever the
/// format calls them. Opened by [Checkpoints].
public sealed interface Checkpoint permits GgufCheckpoint, SafetensorsCheckpoint {
    ModelConfig config();

    /// Every tensor that [ModelConfig] implies is here with the shape it implies; the reader refused
    /// the checkpoint otherwise.
    ///
    /// A matrix of [#matrices()] is its payload here, with the shape that its format implies, and its
    /// companions are under the names of [io.penstock.model.quant.Companion#of].
    Map<String, TensorLocation> tensors();

    /// Matrices that are stored as several tensors, by name. Each tensor that one is made of is in
    /// [#tensors()], of a type and a shape that fit.
    Map<String, StoredMatrix> matrices();
}
