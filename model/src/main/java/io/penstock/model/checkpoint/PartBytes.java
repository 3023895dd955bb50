package io.penstock.model.checkpoint;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.tensor.DType;
import io.penstock.model.tensor.RankSlice.Range;
import io.penstock.model.tensor.TensorPart;
import java.util.function.Consumer;

/// Which bytes of its file a rank's part of a tensor is: `rows` runs of `rowBytes`, `stride` apart.
///
/// @param offset of the first run in the file
/// @param rows number of runs
/// @param rowBytes length of each run
/// @param stride from the start of one run to the start of the next; equals `rowBytes` where the part
///     is contiguous
public record PartBytes(long offset, long rows, long rowBytes, long stride) {

    /// @throws PenstockException (bad input) if the part would cut a quantisation block
    public static PartBytes of(TensorLocation location, TensorPart part) {
        DType dtype = location.dtype();
        Range columns = part.columns();
        if (columns.from() % dtype.blockElements() != 0 || columns.to() % dtype.blockElements() != 0) {
            throw new PenstockException(
                    ErrorCategory.BAD_INPUT,
                    "%s: %s: columns [%d, %d) cut a %s block of %d; split the model over fewer tensor-parallel ranks",
                    location.file(),
                    location.name(),
                    columns.from(),
                    columns.to(),
                    dtype,
                    dtype.blockElements());
        }
        long rows = location.shape().extent(0);
        long stride = rows == 0 ? 0 : location.length() / rows;
        return new PartBytes(
                location.offset() + part.rows().from() * stride + dtype.bytesFor(columns.from()),
                part.rows().count(),
                dtype.bytesFor(columns.count()),
                stride);
    }

    /// A tensor that no slice cuts.
    static PartBytes whole(TensorLocation location) {
        return new PartBytes(location.offset(), 1, location.length(), location.length());
    }

    /// Bytes of the part.
    public long length() {
        return rows * rowBytes;
    }

    public boolean isContiguous() {
        return rowBytes == stride || rows == 1;
    }

    /// Runs in the order of the file, as one where they touch or leave no more than `gap` bytes between
    /// two.
    void extents(long gap, Consumer<Extent> each) {
        if (stride - rowBytes <= gap) {
            each.accept(new Extent(offset, (rows - 1) * stride + rowBytes));
            return;
        }
        for (long row = 0; row < rows; row++) {
            each.accept(new Extent(offset + row * stride, rowBytes));
        }
    }
}
