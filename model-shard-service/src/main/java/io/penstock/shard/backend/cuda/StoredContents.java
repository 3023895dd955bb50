package io.penstock.shard.backend.cuda;

import io.penstock.model.checkpoint.Checkpoint;
import io.penstock.model.checkpoint.MappedTensors;
import io.penstock.model.quant.GroupedElements;
import io.penstock.model.quant.StoredMatrix;
import io.penstock.model.quant.WeightFormat.Grouped;
import io.penstock.model.quant.WeightFormat.Scaled;
import io.penstock.model.quant.WeightFormat.Tabled;
import java.util.HashMap;
import java.util.Map;

/// What a checkpoint's matrices are stored in, by what their tensors hold and not only by what the
/// configuration allows for: symmetric GPTQ has zero points that are all alike, and an order of
/// inputs that is none. For one thread.
///
/// @param tensors null where every matrix' elements alone say what its weights are
record StoredContents(
        Checkpoint checkpoint, MappedTensors tensors, Map<String, io.penstock.model.quant.WeightFormat> known) {

    static StoredContents of(Checkpoint checkpoint, MappedTensors tensors) {
        return new StoredContents(checkpoint, tensors, new HashMap<>());
    }

    /// @param tensor canonical
    /// @return null where its elements alone say what its weights are
    io.penstock.model.quant.WeightFormat format(String tensor) {
        StoredMatrix matrix = checkpoint.matrices().get(tensor);
        return matrix == null ? null : known.computeIfAbsent(tensor, _ -> simplest(tensor, matrix));
    }

    private io.penstock.model.quant.WeightFormat simplest(String tensor, StoredMatrix matrix) {
        return switch (matrix.format()) {
            case Grouped _ -> ((GroupedElements) tensors.decoder(tensor)).simplest();
            case Scaled scaled -> scaled;
            case Tabled tabled -> tabled;
        };
    }
}
