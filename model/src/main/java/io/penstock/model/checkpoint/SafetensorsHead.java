package io.penstock.model.checkpoint;

import io.penstock.model.tensor.DType;
import io.penstock.model.tensor.Shape;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/// What stands before the weights of a safetensors file: eight bytes of length, then JSON that places
/// each tensor (the format: github.com/huggingface/safetensors, README). Tensors must follow each other
/// without a hole, from the end
/// of the header to the end of the file.
final class SafetensorsHead {
    /// As the reference implementation has it.
    private static final long LONGEST_HEADER = 100_000_000;
    /// Bounds the objects made for a file.
    private static final int MOST_TENSORS = 1 << 15;

    private static final int MOST_DIMENSIONS = 8;

    private final StrictJson json;
    private final Path file;
    private final long dataStart;

    private SafetensorsHead(StrictJson json, Path file, long dataStart) {
        this.json = json;
        this.file = file;
        this.dataStart = dataStart;
    }

    /// @return the tensors in the order of the file
    static List<TensorLocation> parse(MemorySegment head, long fileLength, String fileName) {
        Path file = Path.of(fileName);
        HeadReader reader = new HeadReader(head, fileLength, file);
        long length = reader.count("header length", 1);
        if (length < 2 || length > LONGEST_HEADER) {
            throw reader.bad("length at offset 0 is %d, must lie in [2, %d]", length, LONGEST_HEADER);
        }
        long start = reader.position();
        reader.skip(length);
        try (StrictJson json = StrictJson.over(head.asSlice(start, length), file, start)) {
            List<TensorLocation> tensors = new SafetensorsHead(json, file, start + length).tensors();
            tensors.sort(Comparator.comparingLong(TensorLocation::offset).thenComparingLong(TensorLocation::length));
            checkPlaces(tensors, start + length, fileLength, file);
            return tensors;
        }
    }

    private List<TensorLocation> tensors() {
        List<TensorLocation> tensors = new ArrayList<>();
        json.object("header", name -> {
            if (name.equals("__metadata__")) {
                json.object(name, key -> json.string(name + "." + key));
                return;
            }
            if (tensors.size() == MOST_TENSORS) {
                throw json.bad(name, "more than %d tensors in one file", MOST_TENSORS);
            }
            tensors.add(new Entry(name).read());
        });
        json.end();
        return tensors;
    }

    private final class Entry {
        private final String name;
        private DType dtype;
        private Shape shape;
        private List<Long> offsets;

        Entry(String name) {
            this.name = name;
        }

        TensorLocation read() {
            json.object(name, key -> {
                switch (key) {
                    case "dtype" -> dtype = dtype(json.string(name));
                    case "shape" -> shape = shape(json.integers(name, MOST_DIMENSIONS));
                    case "data_offsets" -> offsets = json.integers(name, 2);
                    // Text from outside: there is no enum of what is not read.
                    default -> throw json.bad(name, "has an unknown field \"%s\"", key);
                }
            });
            if (dtype == null || shape == null || offsets == null || offsets.size() != 2) {
                throw json.bad(name, "needs dtype, shape and two data_offsets");
            }
            long begin = offsets.get(0);
            long end = offsets.get(1);
            if (end < begin || end > Long.MAX_VALUE - dataStart) {
                throw json.bad(name, "data_offsets are [%d, %d]", begin, end);
            }
            return new TensorLocation(name, dtype, shape, file, dataStart + begin, end - begin);
        }

        private DType dtype(String text) {
            return switch (text) {
                case "F32" -> DType.F32;
                case "F16" -> DType.F16;
                case "BF16" -> DType.BF16;
                case "F8_E4M3" -> DType.F8_E4M3;
                case "F8_E5M2" -> DType.F8_E5M2;
                case "I8" -> DType.I8;
                case "U8" -> DType.U8;
                case "I32" -> DType.I32;
                case "I64" -> DType.I64;
                default -> throw json.bad(name, "dtype is \"%s\", which no format that is read has", text);
            };
        }

        private Shape shape(List<Long> extents) {
            try {
                return new Shape(extents);
            } catch (IllegalArgumentException e) {
                throw json.bad(name, "shape is %s: %s", extents, e.getMessage());
            }
        }
    }

    private static void checkPlaces(List<TensorLocation> tensors, long dataStart, long fileLength, Path file) {
        long next = dataStart;
        for (TensorLocation tensor : tensors) {
            if (tensor.offset() != next) {
                throw new CheckpointException(
                        file,
                        tensor.name(),
                        "starts at offset %d; what lies before it ends at %d",
                        tensor.offset(),
                        next);
            }
            if (tensor.length() > fileLength - next) {
                throw new CheckpointException(
                        file,
                        tensor.name(),
                        "ends at offset %d, the file at %d",
                        tensor.offset() + tensor.length(),
                        fileLength);
            }
            next += tensor.length();
        }
        if (next != fileLength) {
            throw new CheckpointException(
                    file, "end", "%d bytes follow the last tensor, at offset %d", fileLength - next, next);
        }
    }
}
