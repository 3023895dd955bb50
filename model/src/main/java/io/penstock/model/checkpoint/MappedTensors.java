package io.penstock.model.checkpoint;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.quant.Companion;
import io.penstock.model.quant.MatrixDecoder;
import io.penstock.model.quant.StoredMatrix;
import io.penstock.model.quant.StoredTensor;
import io.penstock.model.tensor.TensorPart;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.Map;

/// The weights of a checkpoint whose files are on this machine, mapped into memory, each file whole. A
/// file may be sparse: only bytes that were made present may be read.
public final class MappedTensors implements AutoCloseable {
    private final Checkpoint checkpoint;
    private final Map<Path, MemorySegment> segments = new HashMap<>();
    private final Arena arena = Arena.ofShared();

    /// @param files where each file of the checkpoint lies, by its name in [TensorLocation#file]
    /// @throws PenstockException if one is missing, or too short for its tensors
    public MappedTensors(Checkpoint checkpoint, Map<String, Path> files) {
        this.checkpoint = checkpoint;
        try {
            for (TensorLocation tensor : checkpoint.tensors().values()) {
                MemorySegment segment = segments.get(tensor.file());
                if (segment == null) {
                    segment = map(tensor.file(), files.get(tensor.file().toString()));
                    segments.put(tensor.file(), segment);
                }
                if (tensor.offset() + tensor.length() > segment.byteSize()) {
                    throw new CheckpointException(
                            tensor.file(),
                            tensor.name(),
                            "ends at %d, the file on this machine at %d",
                            tensor.offset() + tensor.length(),
                            segment.byteSize());
                }
            }
        } catch (RuntimeException e) {
            arena.close();
            throw e;
        }
    }

    private MemorySegment map(Path name, Path path) {
        if (path == null) {
            throw new PenstockException(ErrorCategory.NOT_FOUND, "%s of the checkpoint is not on this machine", name);
        }
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
            return channel.map(MapMode.READ_ONLY, 0, channel.size(), arena);
        } catch (IOException e) {
            throw new PenstockException(ErrorCategory.NOT_FOUND, e, "%s cannot be mapped: %s", path, e);
        }
    }

    /// @param name canonical
    /// @return the bytes of the whole tensor, valid until this is closed
    public MemorySegment whole(String name) {
        TensorLocation location = location(name);
        return segments.get(location.file()).asSlice(location.offset(), location.length());
    }

    /// Reads a matrix, whatever it is stored as. Of its tensors all bytes are read as they are asked
    /// for, and of its companions all at once.
    ///
    /// @param name canonical
    /// @return valid until this is closed
    /// @throws CheckpointException if what the tensors hold cannot be read
    public MatrixDecoder decoder(String name) {
        TensorLocation location = location(name);
        StoredMatrix matrix = checkpoint.matrices().get(name);
        if (matrix == null) {
            return MatrixDecoder.plain(
                    stored(name), Math.toIntExact(location.shape().extent(1)));
        }
        Map<Companion, StoredTensor> companions = new EnumMap<>(Companion.class);
        for (Companion companion : matrix.companions().keySet()) {
            companions.put(companion, stored(companion.of(name)));
        }
        try {
            return MatrixDecoder.of(matrix, stored(name), companions);
        } catch (IllegalArgumentException e) {
            throw new CheckpointException(location.file(), location.name(), e, "%s", e.getMessage());
        }
    }

    private StoredTensor stored(String name) {
        TensorLocation location = location(name);
        return new StoredTensor(location.dtype(), location.shape(), whole(name));
    }

    /// Copies a rank's part of a tensor, row after row without gaps.
    ///
    /// @param target of [PartBytes#length()] bytes or more
    public void copy(TensorPart part, MemorySegment target) {
        TensorLocation location = location(part.tensor().name());
        MemorySegment source = segments.get(location.file());
        PartBytes bytes = PartBytes.of(location, part);
        if (bytes.isContiguous()) {
            MemorySegment.copy(source, bytes.offset(), target, 0, bytes.length());
            return;
        }
        for (long row = 0; row < bytes.rows(); row++) {
            long from = bytes.offset() + row * bytes.stride();
            MemorySegment.copy(source, from, target, row * bytes.rowBytes(), bytes.rowBytes());
        }
    }

    private TensorLocation location(String name) {
        TensorLocation location = checkpoint.tensors().get(name);
        if (location == null) {
            throw new IllegalArgumentException("no tensor " + name);
        }
        return location;
    }

    @Override
    public void close() {
        arena.close();
    }
}
