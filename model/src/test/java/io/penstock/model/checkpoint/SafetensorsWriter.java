package io.penstock.model.checkpoint;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.penstock.model.tensor.DType;
import io.penstock.model.tensor.Shape;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/// Writes safetensors files.
public final class SafetensorsWriter {
    private static final ObjectMapper JSON = new ObjectMapper();

    private final ObjectNode header = JSON.createObjectNode();
    private final ByteArrayOutputStream content = new ByteArrayOutputStream();

    public SafetensorsWriter() {
        header.putObject("__metadata__").put("format", "pt");
    }

    /// @param dtype F32, F16 or BF16
    public SafetensorsWriter tensor(String name, DType dtype, Shape shape, byte[] bytes) {
        ObjectNode entry = header.putObject(name);
        entry.put("dtype", dtype.name());
        shape.extents().forEach(entry.putArray("shape")::add);
        entry.putArray("data_offsets").add(content.size()).add(content.size() + bytes.length);
        content.writeBytes(bytes);
        return this;
    }

    public byte[] toBytes() {
        try {
            return file(JSON.writeValueAsString(header), content.toByteArray());
        } catch (JsonProcessingException e) {
            throw new AssertionError(e);
        }
    }

    /// @param header any text, well-formed or not
    static byte[] file(String header, byte[] content) {
        byte[] text = header.getBytes(StandardCharsets.UTF_8);
        return ByteBuffer.allocate(Long.BYTES + text.length + content.length)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(text.length)
                .put(text)
                .put(content)
                .array();
    }
}
