package io.penstock.model.checkpoint;

import com.google.errorprone.annotations.FormatMethod;
import com.google.errorprone.annotations.FormatString;
import io.penstock.model.config.ModelConfig;
import io.penstock.model.quant.Companion;
import io.penstock.model.quant.StoredMatrix;
import io.penstock.model.quant.WeightFormat;
import io.penstock.model.tensor.Shape;
import io.penstock.model.tensor.TensorLayout;
import java.nio.file.Path;
import java.util.Collections;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// Holds what the files have against what the configuration implies.
///
/// @param tensors as [Checkpoint#tensors()]
/// @param matrices as [Checkpoint#matrices()]
record TensorInventory(Map<String, TensorLocation> tensors, Map<String, StoredMatrix> matrices) {
    private static final String WEIGHT = ".weight";

    TensorInventory {
        tensors = Collections.unmodifiableMap(tensors);
        matrices = Collections.unmodifiableMap(matrices);
    }

    /// @param config of the checkpoint
    /// @param listed where a tensor that no file has should have been
    /// @return every tensor that the configuration implies, by canonical name, in the order of a
    ///     forward pass
    /// @throws CheckpointException if one is missing, of another shape or of a format it cannot have,
    ///     or if there are others
    static TensorInventory match(
            ModelConfig config, List<TensorLocation> found, NameScheme names, QuantisationScheme scheme, Path listed) {
        long experts = config.experts()
                .map(all -> 3L * all.count() * Math.max(0, config.layers() - all.firstDense()))
                .orElse(0L);
        // Before they are listed: a short configuration can imply millions.
        if (experts > found.size()) {
            throw new CheckpointException(
                    listed, "tensors", "are %d, the configuration implies %d of experts", found.size(), experts);
        }
        Matching matching = new Matching(config, names, scheme, listed);
        found.forEach(matching::sort);
        TensorLayout.of(config).forEach(matching::match);
        matching.requireNothingLeft();
        return new TensorInventory(matching.tensors, matching.matrices);
    }

    private static final class Matching {
        private final ModelConfig config;
        private final NameScheme names;
        private final QuantisationScheme scheme;
        private final Path listed;
        private final Map<String, TensorLocation> byName = new HashMap<>();
        private final Map<String, Map<Companion, TensorLocation>> beside = new HashMap<>();
        private final Map<String, TensorLocation> tensors = new LinkedHashMap<>();
        private final Map<String, StoredMatrix> matrices = new HashMap<>();

        Matching(ModelConfig config, NameScheme names, QuantisationScheme scheme, Path listed) {
            this.config = config;
            this.names = names;
            this.scheme = scheme;
            this.listed = listed;
        }

        /// Puts one tensor of the files to the matrix or vector that it belongs to.
        void sort(TensorLocation tensor) {
            if (names.isHarmless(tensor.name())) {
                return;
            }
            Optional<String> plain = names.canonical(tensor.name());
            if (plain.isPresent()) {
                add(plain.get(), tensor);
                return;
            }
            for (Map.Entry<String, Companion> suffix : scheme.companions().entrySet()) {
                Optional<String> name = ofModule(tensor, suffix.getKey());
                if (name.isPresent()) {
                    TensorLocation other = beside.computeIfAbsent(name.get(), none -> new EnumMap<>(Companion.class))
                            .putIfAbsent(suffix.getValue(), tensor);
                    if (other != null) {
                        throw bad(tensor, "is there as %s too", other.name());
                    }
                    return;
                }
            }
            Optional<String> payload =
                    scheme.format().isPresent() ? ofModule(tensor, scheme.payload()) : Optional.empty();
            if (payload.isPresent()) {
                add(payload.get(), tensor);
                return;
            }
            for (String suffix : scheme.ignored()) {
                if (ofModule(tensor, suffix).isPresent()) {
                    return;
                }
            }
            throw bad(tensor, "is no tensor of a %s model; ignoring it might change results", config.architecture());
        }

        private void add(String name, TensorLocation tensor) {
            TensorLocation other = byName.putIfAbsent(name, tensor);
            if (other != null) {
                throw bad(tensor, "is there as %s too", other.name());
            }
        }

        /// @return the canonical name of the matrix whose module the tensor belongs to, if it is called
        ///     so
        private Optional<String> ofModule(TensorLocation tensor, String suffix) {
            String name = tensor.name();
            if (!name.endsWith("." + suffix)) {
                return Optional.empty();
            }
            return names.canonical(name.substring(0, name.length() - suffix.length() - 1) + WEIGHT);
        }

        void match(TensorLayout layout) {
            TensorLocation tensor = byName.remove(layout.name());
            if (tensor == null) {
                throw new CheckpointException(
                        listed, names.spell(layout.name()), "is missing; %s is expected", layout.shape());
            }
            tensors.put(layout.name(), tensor);
            Map<Companion, TensorLocation> companions = beside.remove(layout.name());
            if (tensor.dtype().standsAlone() && companions == null) {
                requireShape(tensor, layout.shape());
                if (layout.shape().rank() == 1 && tensor.dtype().blockElements() > 1) {
                    throw bad(
                            tensor,
                            "at offset %d is %s, vectors are F32, F16 or BF16",
                            tensor.offset(),
                            tensor.dtype());
                }
                return;
            }
            if (scheme.format().isEmpty() || layout.shape().rank() != 2) {
                throw bad(tensor, "is %s, and nothing says what that means here", tensor.dtype());
            }
            matchQuantised(layout, tensor, companions == null ? new EnumMap<>(Companion.class) : companions);
        }

        private void matchQuantised(
                TensorLayout layout, TensorLocation payload, Map<Companion, TensorLocation> companions) {
            StoredMatrix matrix;
            try {
                matrix = new StoredMatrix(
                        withoutOrder(scheme.format().orElseThrow(), companions),
                        Math.toIntExact(layout.shape().extent(0)),
                        Math.toIntExact(layout.shape().extent(1)));
            } catch (IllegalArgumentException e) {
                throw bad(payload, "%s cannot be stored so: %s", layout.shape(), e.getMessage());
            }
            requireFit(matrix.payload(), payload);
            matrix.companions().forEach((role, expected) -> {
                TensorLocation tensor = companions.remove(role);
                if (tensor == null) {
                    throw bad(payload, "has no %s beside it; %s is expected", role, expected);
                }
                requireFit(expected, tensor);
                tensors.put(role.of(layout.name()), tensor);
            });
            // Double quantisation aside, every file has a state, and it says nothing that is needed.
            companions.remove(Companion.STATE);
            companions.values().stream().findFirst().ifPresent(tensor -> {
                throw bad(tensor, "has no place in %s", matrix.format());
            });
            matrices.put(layout.name(), matrix);
        }

        /// GPTQ files tell the order of inputs only where it is not the natural one, or always, as
        /// their writer pleased.
        private static WeightFormat withoutOrder(WeightFormat format, Map<Companion, TensorLocation> companions) {
            return format instanceof WeightFormat.Grouped grouped
                            && grouped.packing() == WeightFormat.Packing.INPUTS_DOWN
                            && !companions.containsKey(Companion.GROUPS)
                    ? new WeightFormat.Grouped(
                            grouped.bits(), grouped.groupSize(), grouped.packing(), grouped.zeros(), false)
                    : format;
        }

        private static void requireShape(TensorLocation tensor, Shape shape) {
            if (!tensor.shape().equals(shape)) {
                throw bad(
                        tensor,
                        "at offset %d has shape %s, the configuration implies %s",
                        tensor.offset(),
                        tensor.shape(),
                        shape);
            }
        }

        private static void requireFit(StoredMatrix.Expected expected, TensorLocation tensor) {
            if (!expected.fits(tensor.dtype(), tensor.shape())) {
                throw bad(
                        tensor,
                        "at offset %d has shape %s of %s, %s is expected",
                        tensor.offset(),
                        tensor.shape(),
                        tensor.dtype(),
                        expected);
            }
        }

        void requireNothingLeft() {
            byName.values().stream().findFirst().ifPresent(tensor -> {
                throw bad(
                        tensor,
                        "at offset %d has no place in this configuration of %d layers",
                        tensor.offset(),
                        config.layers());
            });
            beside.values().stream()
                    .flatMap(all -> all.values().stream())
                    .findFirst()
                    .ifPresent(tensor -> {
                        throw bad(tensor, "at offset %d belongs to no matrix", tensor.offset());
                    });
        }

        @FormatMethod
        private static CheckpointException bad(
                TensorLocation tensor, @FormatString String format, Object... arguments) {
            return new CheckpointException(tensor.file(), tensor.name(), format, arguments);
        }
    }
}
