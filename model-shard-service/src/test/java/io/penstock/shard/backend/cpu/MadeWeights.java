package io.penstock.shard.backend.cpu;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.penstock.model.checkpoint.SafetensorsWriter;
import io.penstock.model.tensor.DType;
import io.penstock.model.tensor.Shape;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.LongStream;
import java.util.stream.StreamSupport;

/// Makes a checkpoint's weights by the recipes that `tools/references/architectures.py` wrote, which
/// made the same ones for the reference: random weights do not compress, and recipes are short.
final class MadeWeights {
    private MadeWeights() {}

    /// @param recipes the file `tensors.json`
    /// @param target a safetensors file
    static void write(Path recipes, Path target) throws IOException {
        SafetensorsWriter writer = new SafetensorsWriter();
        for (JsonNode recipe : new ObjectMapper().readTree(recipes.toFile())) {
            String name = recipe.path(0).textValue();
            DType dtype = DType.valueOf(recipe.path(1).textValue());
            Shape shape = Shape.of(StreamSupport.stream(recipe.path(2).spliterator(), false)
                    .mapToLong(JsonNode::longValue)
                    .toArray());
            writer.tensor(name, dtype, shape, bytes(name, dtype, shape, recipe));
        }
        Files.write(target, writer.toBytes());
    }

    private static byte[] bytes(String name, DType dtype, Shape shape, JsonNode recipe) {
        int count = Math.toIntExact(shape.elementCount());
        ByteBuffer bytes =
                ByteBuffer.allocate(Math.toIntExact(dtype.bytesFor(shape))).order(ByteOrder.LITTLE_ENDIAN);
        double centre = recipe.path(3).doubleValue();
        double spread = recipe.path(4).doubleValue();
        LongStream mixed = mixed(name, count);
        if (dtype == DType.F8_E4M3) {
            // No NaN.
            mixed.map(bits -> bits >>> 56)
                    .forEach(code -> bytes.put((byte) ((code & 0x7F) == 0x7F ? code ^ 0x40 : code)));
        } else if (dtype == DType.I32 && recipe.has(3)) {
            int inputs = recipe.path(3).intValue();
            int group = recipe.path(4).intValue();
            LongStream.range(0, inputs).forEach(i -> bytes.putInt((int) (i * 7 % inputs / group)));
        } else if (dtype == DType.I32) {
            mixed.forEach(bits -> bytes.putInt((int) bits));
        } else {
            mixed.forEach(bits -> put(bytes, dtype, (float) (centre + spread * (bits >> 56) / 128)));
        }
        return bytes.array();
    }

    private static void put(ByteBuffer bytes, DType dtype, float value) {
        if (dtype == DType.F32) {
            bytes.putFloat(value);
        } else if (dtype == DType.F16) {
            bytes.putShort(Float.floatToFloat16(value));
        } else {
            int bits = Float.floatToIntBits(value);
            // To the nearest, of two the even one.
            bytes.putShort((short) ((bits + 0x7FFF + (bits >>> 16 & 1)) >>> 16));
        }
    }

    /// SplitMix64 (Steele, Lea, Flood 2014), its state at first the FNV-1a hash of the name.
    private static LongStream mixed(String name, int count) {
        long hash = 0xCBF29CE484222325L;
        for (byte value : name.getBytes(StandardCharsets.UTF_8)) {
            hash = (hash ^ value) * 0x100000001B3L;
        }
        long state = hash;
        return LongStream.rangeClosed(1, count).map(i -> {
            long z = state + i * 0x9E3779B97F4A7C15L;
            z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
            z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
            return z ^ (z >>> 31);
        });
    }
}
