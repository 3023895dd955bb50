package io.penstock.model.checkpoint;

import io.penstock.model.tensor.DType;
import io.penstock.model.tensor.Shape;
import java.nio.file.Path;

/// Where one tensor lies in a checkpoint.
///
/// @param name as the file spells it
/// @param file name within the checkpoint, relative
/// @param offset first byte in the file, >= 0
/// @param length in bytes; equals shape times element size
public record TensorLocation(String name, DType dtype, Shape shape, Path file, long offset, long length) {
    public TensorLocation {
        long needed;
        try {
            needed = dtype.bytesFor(shape);
        } catch (IllegalArgumentException e) {
            throw new CheckpointException(file, name, "shape %s cannot hold %s: %s", shape, dtype, e.getMessage());
        }
        if (offset < 0 || length != needed) {
            throw new CheckpointException(
                    file, name, "at %d holds %d bytes, shape %s of %s needs %d", offset, length, shape, dtype, needed);
        }
    }
}
