package io.penstock.model.checkpoint;

import io.penstock.model.config.ModelConfig;
import io.penstock.model.tensor.TensorLayout;
import java.nio.file.Path;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// Holds what the files have against what the configuration implies.
final class TensorInventory {
    private TensorInventory() {}

    /// @param config of the checkpoint
    /// @param listed where a tensor that no file has should have been
    /// @return every tensor that the configuration implies, by canonical name, in the order of a forward pass
    /// @throws CheckpointException if one is missing, of another shape or of a format it cannot have, or if
    ///     there are others
    static Map<String, TensorLocation> match(
            ModelConfig config, List<TensorLocation> found, NameScheme scheme, Path listed) {
        Map<String, TensorLocation> byName = new HashMap<>();
        for (TensorLocation tensor : found) {
            if (scheme.isHarmless(tensor.name())) {
                continue;
            }
            String name = scheme.canonical(tensor.name())
                    .orElseThrow(() -> new CheckpointException(
                            tensor.file(),
                            tensor.name(),
                            "is no tensor of a %s model; ignoring it might change results",
                            config.architecture()));
            byName.put(name, tensor);
        }
        Map<String, TensorLocation> matched = new LinkedHashMap<>();
        for (TensorLayout layout : TensorLayout.of(config)) {
            TensorLocation tensor = byName.remove(layout.name());
            if (tensor == null) {
                throw new CheckpointException(
                        listed, scheme.spell(layout.name()), "is missing; %s is expected", layout.shape());
            }
            if (!tensor.shape().equals(layout.shape())) {
                throw new CheckpointException(
                        tensor.file(),
                        tensor.name(),
                        "at offset %d has shape %s, the configuration implies %s",
                        tensor.offset(),
                        tensor.shape(),
                        layout.shape());
            }
            if (layout.shape().rank() == 1 && tensor.dtype().blockElements() > 1) {
                throw new CheckpointException(
                        tensor.file(),
                        tensor.name(),
                        "at offset %d is %s, vectors are F32, F16 or BF16",
                        tensor.offset(),
                        tensor.dtype());
            }
            matched.put(layout.name(), tensor);
        }
        byName.values().stream().findFirst().ifPresent(tensor -> {
            throw new CheckpointException(
                    tensor.file(),
                    tensor.name(),
                    "at offset %d has no place in this configuration of %d layers",
                    tensor.offset(),
                    config.layers());
        });
        return Collections.unmodifiableMap(matched);
    }
}
