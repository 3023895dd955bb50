package io.penstock.model.checkpoint;

import io.penstock.model.tensor.Shape;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// Tensors of three dimensions, as GGUF files have them: one matrix after the other. Those of experts
/// become a tensor for each expert, so that a rank reads its own; those of heads one matrix of all
/// heads' rows.
final class StackedTensors {
    private static final Pattern EXPERTS = Pattern.compile("(blk\\.[0-9]{1,4}\\.ffn_(?:gate|up|down)_exps)\\.weight");
    /// Six times what DeepSeek-V3 has; bounds what a short file can make us list.
    private static final int MOST_PARTS = 1 << 18;

    private StackedTensors() {}

    /// @param expected experts of a layer, 0 if there are none
    /// @return the same tensors, each of two dimensions or one
    static List<TensorLocation> part(List<TensorLocation> tensors, int expected) {
        List<TensorLocation> parted = new ArrayList<>(tensors.size());
        for (TensorLocation tensor : tensors) {
            if (tensor.shape().rank() != 3) {
                parted.add(tensor);
                continue;
            }
            long count = tensor.shape().extent(0);
            long rows = tensor.shape().extent(1);
            long columns = tensor.shape().extent(2);
            Matcher experts = EXPERTS.matcher(tensor.name());
            if (!experts.matches()) {
                parted.add(located(tensor, tensor.name(), Shape.of(count * rows, columns), 0, tensor.length()));
                continue;
            }
            if (count != expected) {
                throw new CheckpointException(
                        tensor.file(), tensor.name(), "has %d experts, the configuration says %d", count, expected);
            }
            if (parted.size() + count > MOST_PARTS) {
                throw new CheckpointException(
                        tensor.file(), tensor.name(), "makes more than %d tensors of experts", MOST_PARTS);
            }
            long length = tensor.length() / count;
            for (long expert = 0; expert < count; expert++) {
                String name = experts.group(1) + "." + expert + ".weight";
                parted.add(located(tensor, name, Shape.of(rows, columns), expert * length, length));
            }
        }
        return parted;
    }

    private static TensorLocation located(TensorLocation of, String name, Shape shape, long from, long length) {
        return new TensorLocation(name, of.dtype(), shape, of.file(), of.offset() + from, length);
    }
}
