package io.penstock.shard.backend.cpu;

import io.penstock.model.tensor.DType;
import java.util.Optional;

/// How a [PackedMatrix] holds its weights. The kernels read these and no others; a matrix that is stored in another
/// way is decoded when it is loaded, and held as F32, so that nothing is rounded.
public enum Elements {
    F32(DType.F32),
    F16(DType.F16),
    BF16(DType.BF16),
    Q8_0(DType.Q8_0),
    Q4_0(DType.Q4_0),
    Q4_1(DType.Q4_1);

    private final DType stored;

    Elements(DType stored) {
        this.stored = stored;
    }

    /// The format in a file whose weights these are, unchanged.
    public DType stored() {
        return stored;
    }

    /// Whether weights are integers of a scale that 32 of them share.
    public boolean isQuantised() {
        return switch (this) {
            case F32, F16, BF16 -> false;
            case Q8_0, Q4_0, Q4_1 -> true;
        };
    }

    /// Whether a block's weights are levels from 0 up, times the scale, plus a minimum.
    public boolean hasMinimum() {
        return switch (this) {
            case F32, F16, BF16, Q8_0 -> false;
            // Its levels are signed: the minimum is -8 times the scale.
            case Q4_0, Q4_1 -> true;
        };
    }

    /// @return empty if the kernels do not read weights of this format as they are stored
    static Optional<Elements> of(DType dtype) {
        for (Elements elements : values()) {
            if (elements.stored == dtype) {
                return Optional.of(elements);
            }
        }
        return Optional.empty();
    }
}
