package io.penstock.model.checkpoint;

import io.penstock.model.quant.Companion;
import io.penstock.model.quant.StoredMatrix;
import io.penstock.model.quant.WeightFormat;
import io.penstock.model.tensor.RankSlice;
import io.penstock.model.tensor.TensorPart;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/// The bytes of one file that a rank needs.
///
/// @param file name within the checkpoint
/// @param extents ascending, neither overlapping nor touching
public record FileExtents(Path file, List<Extent> extents) {
    /// Two runs are fetched as one where fewer bytes than this lie between: a request more costs more
    /// than they do.
    public static final long DEFAULT_GAP = 256 << 10;

    public FileExtents {
        extents = List.copyOf(extents);
        for (int i = 1; i < extents.size(); i++) {
            if (extents.get(i).offset() <= extents.get(i - 1).end()) {
                throw new IllegalArgumentException(
                        "%s: %s before %s".formatted(file, extents.get(i - 1), extents.get(i)));
            }
        }
    }

    public long length() {
        return extents.stream().mapToLong(Extent::length).sum();
    }

    /// What a rank needs of each file, in the order of their names. Heads of the files are not among it.
    ///
    /// @param gap unneeded bytes that may be fetched to save a request, see [#DEFAULT_GAP]; 0 for none
    /// @throws io.penstock.model.PenstockException (bad input) if the slice cuts a quantisation block
    public static List<FileExtents> of(Checkpoint checkpoint, RankSlice slice, long gap) {
        Map<Path, List<PartBytes>> byFile = new TreeMap<>();
        for (TensorPart part : TensorPart.of(checkpoint.config(), slice)) {
            places(checkpoint, part)
                    .forEach((tensor, bytes) -> byFile.computeIfAbsent(tensor.file(), file -> new ArrayList<>())
                            .add(bytes));
        }
        List<FileExtents> files = new ArrayList<>();
        byFile.forEach((file, parts) -> {
            // Tensors do not overlap, so neither do parts, and their runs come out in ascending order.
            parts.sort(Comparator.comparingLong(PartBytes::offset));
            Merger merger = new Merger(gap);
            parts.forEach(part -> part.extents(gap, merger::add));
            files.add(new FileExtents(file, merger.extents));
        });
        return List.copyOf(files);
    }

    /// Bytes of all tensors that a part is read from.
    ///
    /// @throws io.penstock.model.PenstockException (bad input) if it would cut a quantisation block
    public static long bytes(Checkpoint checkpoint, TensorPart part) {
        return places(checkpoint, part).values().stream()
                .mapToLong(PartBytes::length)
                .sum();
    }

    /// What lies row after row is cut; of packed integers, and of scales, a rank has all.
    private static Map<TensorLocation, PartBytes> places(Checkpoint checkpoint, TensorPart part) {
        String name = part.tensor().name();
        TensorLocation location = checkpoint.tensors().get(name);
        StoredMatrix matrix = checkpoint.matrices().get(name);
        if (matrix == null) {
            return Map.of(location, PartBytes.of(location, part));
        }
        Map<TensorLocation, PartBytes> places = new HashMap<>();
        boolean cut = matrix.format() instanceof WeightFormat.Scaled;
        places.put(location, cut ? PartBytes.of(location, part) : PartBytes.whole(location));
        for (Companion companion : matrix.companions().keySet()) {
            TensorLocation beside = checkpoint.tensors().get(companion.of(name));
            places.put(beside, PartBytes.whole(beside));
        }
        return places;
    }

    private static final class Merger {
        private final long gap;
        private final List<Extent> extents = new ArrayList<>();

        Merger(long gap) {
            this.gap = gap;
        }

        void add(Extent next) {
            if (!extents.isEmpty() && next.offset() - extents.getLast().end() <= gap) {
                Extent last = extents.removeLast();
                extents.add(new Extent(last.offset(), next.end() - last.offset()));
            } else {
                extents.add(next);
            }
        }
    }
}
