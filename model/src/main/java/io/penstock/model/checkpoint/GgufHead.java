package io.penstock.model.checkpoint;

import io.penstock.model.tensor.DType;
import io.penstock.model.tensor.Shape;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/// What stands before the weights of a GGUF file, versions 2 and 3, little-endian: metadata and where
/// each tensor lies (the format: github.com/ggml-org/ggml, docs/gguf.md). Knows nothing of what they
/// mean.
///
/// Nothing in the head is believed. A count or length is compared with what is left of the file before
/// memory is taken for it, and tensors must lie one after the other, aligned, up to the end of the file.
///
/// @param tensors in file order, named as the file spells them
record GgufHead(GgufMetadata metadata, List<TensorLocation> tensors) {
    private static final int MAGIC = 0x46554747; // "GGUF"
    private static final String ALIGNMENT = "general.alignment";
    private static final int MOST_DIMENSIONS = 4;
    private static final int LONGEST_KEY = (1 << 16) - 1;
    private static final int LONGEST_TENSOR_NAME = 64;
    /// Real files have some 50 keys and 2,000 tensors. These bound the objects made for a file to 16 MB.
    private static final int MOST_KEYS = 1 << 14;

    private static final int MOST_TENSORS = 1 << 15;
    /// Bytes of metadata; a vocabulary of 256 thousand tokens takes 12 MB.
    static final long LONGEST = 1 << 28;
    // key length, one character, type, one byte
    private static final long LEAST_KEY_BYTES = 8 + 1 + 4 + 1;
    // name length, one character, number of dimensions, one dimension, type, offset
    private static final long LEAST_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8;

    static GgufHead parse(MemorySegment head, long fileLength, Path file) {
        HeadReader reader = new HeadReader(head, fileLength, file);
        int magic = reader.i32();
        if (magic != MAGIC) {
            throw reader.bad("starts with 0x%08x, not a GGUF file", Integer.reverseBytes(magic));
        }
        int version = reader.i32();
        if (version != 2 && version != 3) {
            boolean swapped = version == 2 << 24 || version == 3 << 24;
            throw reader.bad(
                    "version at offset 4 is %s%s, 2 and 3 are read",
                    Integer.toUnsignedString(version), swapped ? " (a big-endian file)" : "");
        }
        long tensorCount = reader.count("tensor count", LEAST_TENSOR_BYTES);
        long keyCount = reader.count("metadata key count", LEAST_KEY_BYTES);
        if (tensorCount > MOST_TENSORS || keyCount > MOST_KEYS) {
            throw reader.bad(
                    "%d tensors and %d metadata keys, at most %d and %d are read",
                    tensorCount, keyCount, MOST_TENSORS, MOST_KEYS);
        }
        Map<String, GgufMetadata.Value> values = values(reader, (int) keyCount);
        long metadataEnd = reader.position();
        List<Found> found = tensors(reader, (int) tensorCount);

        byte[] copy = new byte[(int) metadataEnd];
        MemorySegment.copy(head, ValueLayout.JAVA_BYTE, 0, copy, 0, copy.length);
        GgufMetadata metadata = new GgufMetadata(file, MemorySegment.ofArray(copy), values);
        return new GgufHead(metadata, place(reader, found, alignment(metadata), fileLength, file));
    }

    private static Map<String, GgufMetadata.Value> values(HeadReader reader, int count) {
        Map<String, GgufMetadata.Value> values = new HashMap<>();
        for (int i = 0; i < count; i++) {
            reader.subject("metadata key " + i);
            String key = reader.name("key", LONGEST_KEY);
            reader.subject(key);
            long at = reader.position();
            GgufMetadata.Value value = value(reader, type(reader));
            if (reader.position() > LONGEST) {
                throw reader.bad("at offset %d: metadata of more than %d bytes", at, LONGEST);
            }
            if (values.putIfAbsent(key, value) != null) {
                throw reader.bad("at offset %d is there twice", at);
            }
        }
        return values;
    }

    private static GgufMetadata.Value value(HeadReader reader, GgufType type) {
        if (type != GgufType.ARRAY) {
            long offset = reader.position();
            skip(reader, type);
            return new GgufMetadata.Value(type, null, 1, offset);
        }
        GgufType element = type(reader);
        if (element == GgufType.ARRAY) {
            throw reader.bad("at offset %d is an array of arrays, which is not read", reader.position());
        }
        long count = reader.count("array length", element == GgufType.STRING ? Long.BYTES : element.bytes());
        long offset = reader.position();
        if (element == GgufType.STRING || element == GgufType.BOOL) {
            for (long i = 0; i < count; i++) {
                skip(reader, element);
            }
        } else {
            reader.skip(count * element.bytes());
        }
        return new GgufMetadata.Value(type, element, count, offset);
    }

    private static void skip(HeadReader reader, GgufType type) {
        if (type == GgufType.STRING) {
            reader.skip(reader.count("string length", 1));
        } else if (type == GgufType.BOOL) {
            long at = reader.position();
            int value = reader.u8();
            if (value > 1) {
                throw reader.bad("bool at offset %d is %d", at, value);
            }
        } else {
            reader.skip(type.bytes());
        }
    }

    private static GgufType type(HeadReader reader) {
        long at = reader.position();
        int number = reader.i32();
        return GgufType.of(number)
                .orElseThrow(() ->
                        reader.bad("value type at offset %d is %s, unknown", at, Integer.toUnsignedString(number)));
    }

    private static long alignment(GgufMetadata metadata) {
        long alignment = metadata.integer(ALIGNMENT).orElse(32);
        if (alignment < 1 || alignment > 1 << 20 || Long.bitCount(alignment) != 1) {
            throw metadata.bad(ALIGNMENT, "is %d, must be a power of two, at most %d", alignment, 1 << 20);
        }
        return alignment;
    }

    /// A tensor before it is known where the weights start.
    ///
    /// @param at where its offset stands in the file
    private record Found(String name, DType dtype, Shape shape, long offset, long at) {}

    private static List<Found> tensors(HeadReader reader, int count) {
        List<Found> found = new ArrayList<>(count);
        Set<String> names = new HashSet<>();
        for (int i = 0; i < count; i++) {
            reader.subject("tensor " + i);
            String name = reader.name("tensor name", LONGEST_TENSOR_NAME);
            reader.subject(name);
            if (!names.add(name)) {
                throw reader.bad("at offset %d is there twice", reader.position());
            }
            Shape shape = shape(reader);
            DType dtype = dtype(reader);
            long at = reader.position();
            found.add(new Found(name, dtype, shape, reader.i64(), at));
        }
        return found;
    }

    private static Shape shape(HeadReader reader) {
        long at = reader.position();
        int dimensions = reader.i32();
        if (dimensions < 1 || dimensions > MOST_DIMENSIONS) {
            throw reader.bad(
                    "number of dimensions at offset %d is %s, must lie in [1, %d]",
                    at, Integer.toUnsignedString(dimensions), MOST_DIMENSIONS);
        }
        long[] extents = new long[dimensions];
        // The file has the innermost first.
        for (int axis = dimensions - 1; axis >= 0; axis--) {
            extents[axis] = reader.i64();
        }
        try {
            return Shape.of(extents);
        } catch (IllegalArgumentException e) {
            throw reader.bad("dimensions at offset %d are %s: %s", at, Arrays.toString(extents), e.getMessage());
        }
    }

    private static DType dtype(HeadReader reader) {
        long at = reader.position();
        int number = reader.i32();
        return switch (number) {
            case 0 -> DType.F32;
            case 1 -> DType.F16;
            case 2 -> DType.Q4_0;
            case 3 -> DType.Q4_1;
            case 6 -> DType.Q5_0;
            case 7 -> DType.Q5_1;
            case 8 -> DType.Q8_0;
            case 10 -> DType.Q2_K;
            case 11 -> DType.Q3_K;
            case 12 -> DType.Q4_K;
            case 13 -> DType.Q5_K;
            case 14 -> DType.Q6_K;
            case 30 -> DType.BF16;
            // A number from outside: there is no enum of what is not read.
            default ->
                throw reader.bad(
                        "element type at offset %d is %s; F32, F16, BF16, Q8_0, Q4_0 to Q5_1 and Q2_K to Q6_K are read",
                        at, Integer.toUnsignedString(number));
        };
    }

    private static List<TensorLocation> place(
            HeadReader reader, List<Found> found, long alignment, long fileLength, Path file) {
        long start = align(reader.position(), alignment);
        List<TensorLocation> placed = new ArrayList<>(found.size());
        long next = 0;
        for (Found tensor : found) {
            reader.subject(tensor.name());
            if (tensor.offset() != next) {
                throw reader.bad(
                        "offset, at %d, is %s; the tensor before it ends at %d",
                        tensor.at(), Long.toUnsignedString(tensor.offset()), next);
            }
            long length;
            try {
                length = tensor.dtype().bytesFor(tensor.shape());
            } catch (IllegalArgumentException e) {
                throw reader.bad("shape %s cannot hold %s: %s", tensor.shape(), tensor.dtype(), e.getMessage());
            }
            if (start > fileLength || length > fileLength - start - next) {
                throw reader.bad("%d bytes from %d on pass the end of the file, %d", length, start + next, fileLength);
            }
            placed.add(new TensorLocation(tensor.name(), tensor.dtype(), tensor.shape(), file, start + next, length));
            next = align(next + length, alignment);
            if (next > fileLength - start) {
                // The padding after the last tensor may be missing, not that between two.
                next = fileLength - start;
            }
        }
        if (start + next < fileLength) {
            reader.subject("end");
            throw reader.bad("%d bytes follow the last tensor, at %d", fileLength - start - next, start + next);
        }
        return List.copyOf(placed);
    }

    private static long align(long offset, long alignment) {
        return (offset + alignment - 1) & -alignment;
    }
}
