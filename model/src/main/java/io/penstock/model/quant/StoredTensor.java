package io.penstock.model.quant;

import io.penstock.model.tensor.DType;
import io.penstock.model.tensor.Shape;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/// A tensor's bytes, and how to read them.
///
/// @param bytes all of it
public record StoredTensor(DType dtype, Shape shape, MemorySegment bytes) {
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    public StoredTensor {
        if (bytes.byteSize() != dtype.bytesFor(shape)) {
            throw new IllegalArgumentException("%d bytes for %s of %s".formatted(bytes.byteSize(), shape, dtype));
        }
    }

    /// All of its numbers.
    float[] floats() {
        float[] values = new float[Math.toIntExact(shape.elementCount())];
        Decoder.of(dtype).decode(bytes, 0, values, 0, values.length);
        return values;
    }

    int word(long index) {
        return bytes.get(INT, index * Integer.BYTES);
    }

    int unsigned(long index) {
        return Byte.toUnsignedInt(bytes.get(ValueLayout.JAVA_BYTE, index));
    }
}
