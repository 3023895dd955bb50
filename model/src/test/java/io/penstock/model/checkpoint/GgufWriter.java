package io.penstock.model.checkpoint;

import io.penstock.model.tensor.DType;
import io.penstock.model.tensor.Shape;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// Writes GGUF files, version 3, and remembers where each of their fields stands, so that a test can spoil it.
public final class GgufWriter {
    private static final int ALIGNMENT = 32;

    /// @param subject key, tensor or `header`
    /// @param kind what of the subject the field is
    /// @param offset in the file
    /// @param bytes its size
    public record Field(String subject, String kind, int offset, int bytes) {}

    private record Tensor(DType dtype, Shape shape, byte[] content) {}

    private final Map<String, Object> values = new LinkedHashMap<>();
    private final Map<String, Tensor> tensors = new LinkedHashMap<>();
    private final List<Field> fields = new ArrayList<>();
    private final ByteArrayOutputStream out = new ByteArrayOutputStream();

    /// @param value a String, Integer (uint32), Float, Boolean, `List<String>` or `int[]` (array of int32)
    public GgufWriter put(String key, Object value) {
        values.put(key, value);
        return this;
    }

    public GgufWriter remove(String key) {
        values.remove(key);
        return this;
    }

    public GgufWriter tensor(String name, DType dtype, Shape shape, byte[] content) {
        tensors.put(name, new Tensor(dtype, shape, content));
        return this;
    }

    public GgufWriter removeTensor(String name) {
        tensors.remove(name);
        return this;
    }

    /// Where the fields of what [#toBytes] last wrote stand.
    public List<Field> fields() {
        return List.copyOf(fields);
    }

    public byte[] toBytes() {
        out.reset();
        fields.clear();
        u32("header", "magic", 0x46554747);
        u32("header", "version", 3);
        u64("header", "tensor count", tensors.size());
        u64("header", "key count", values.size());
        values.forEach(this::value);
        long offset = 0;
        for (Map.Entry<String, Tensor> entry : tensors.entrySet()) {
            String name = entry.getKey();
            Tensor tensor = entry.getValue();
            string(name, "name", name);
            u32(name, "dimensions", tensor.shape().rank());
            for (int axis = tensor.shape().rank() - 1; axis >= 0; axis--) {
                u64(name, "extent", tensor.shape().extent(axis));
            }
            u32(name, "type", typeNumber(tensor.dtype()));
            u64(name, "offset", offset);
            offset = align(offset + tensor.content().length);
        }
        pad();
        for (Tensor tensor : tensors.values()) {
            out.writeBytes(tensor.content());
            pad();
        }
        return out.toByteArray();
    }

    private void value(String key, Object value) {
        string(key, "key", key);
        switch (value) {
            case String text -> {
                u32(key, "value type", GgufType.STRING.number());
                string(key, "value", text);
            }
            case Integer number -> {
                u32(key, "value type", GgufType.UINT32.number());
                u32(key, "value", number);
            }
            case Float number -> {
                u32(key, "value type", GgufType.FLOAT32.number());
                u32(key, "value", Float.floatToRawIntBits(number));
            }
            case Boolean flag -> {
                u32(key, "value type", GgufType.BOOL.number());
                fields.add(new Field(key, "value", out.size(), 1));
                out.write(flag ? 1 : 0);
            }
            case int[] numbers -> {
                u32(key, "value type", GgufType.ARRAY.number());
                u32(key, "element type", GgufType.INT32.number());
                u64(key, "array length", numbers.length);
                for (int number : numbers) {
                    u32(key, "element", number);
                }
            }
            case List<?> texts -> {
                u32(key, "value type", GgufType.ARRAY.number());
                u32(key, "element type", GgufType.STRING.number());
                u64(key, "array length", texts.size());
                texts.forEach(text -> string(key, "element", (String) text));
            }
            default -> throw new IllegalArgumentException(key + " = " + value);
        }
    }

    static int typeNumber(DType dtype) {
        return switch (dtype) {
            case F32 -> 0;
            case F16 -> 1;
            case BF16 -> 30;
            case Q8_0 -> 8;
            case Q4_0 -> 2;
            case Q4_1 -> 3;
            case Q5_0 -> 6;
            case Q5_1 -> 7;
            case Q2_K -> 10;
            case Q3_K -> 11;
            case Q4_K -> 12;
            case Q5_K -> 13;
            case Q6_K -> 14;
            case F8_E4M3, F8_E5M2, I8, U8, I32, I64 -> throw new IllegalArgumentException("no GGUF has " + dtype);
        };
    }

    private void string(String subject, String kind, String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        u64(subject, kind + " length", bytes.length);
        fields.add(new Field(subject, kind, out.size(), bytes.length));
        out.writeBytes(bytes);
    }

    private void u32(String subject, String kind, int value) {
        fields.add(new Field(subject, kind, out.size(), Integer.BYTES));
        out.writeBytes(ByteBuffer.allocate(Integer.BYTES)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putInt(value)
                .array());
    }

    private void u64(String subject, String kind, long value) {
        fields.add(new Field(subject, kind, out.size(), Long.BYTES));
        out.writeBytes(ByteBuffer.allocate(Long.BYTES)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(value)
                .array());
    }

    private void pad() {
        out.writeBytes(new byte[(int) (align(out.size()) - out.size())]);
    }

    private static long align(long offset) {
        return (offset + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
}
