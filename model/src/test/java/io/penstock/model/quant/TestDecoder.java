package io.penstock.model.quant;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.model.tensor.DType;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/// Against what the gguf package decodes the same blocks to; tools/references/quant.py wrote both.
class TestDecoder {
    @ParameterizedTest
    @EnumSource(
            names = {"U8", "I32", "I64"},
            mode = EnumSource.Mode.EXCLUDE)
    void decodesAsTheReferenceDoes(DType dtype) throws IOException {
        byte[] blocks = resource(dtype + ".blocks");
        float[] expected = floats(resource(dtype + ".f32"));
        assertThat(expected).hasSizeGreaterThan(dtype.blockElements());
        assertThat(dtype.bytesFor(expected.length)).isEqualTo(blocks.length);

        // At odd places of source and target, as a slice of a file is.
        byte[] shifted = new byte[blocks.length + 1];
        System.arraycopy(blocks, 0, shifted, 1, blocks.length);
        float[] decoded = new float[expected.length + 3];
        Decoder.of(dtype).decode(MemorySegment.ofArray(shifted), 1, decoded, 3, expected.length);

        for (int i = 0; i < expected.length; i++) {
            assertThat(Float.floatToRawIntBits(decoded[i + 3]))
                    .as("element %d: %s, expected %s", i, decoded[i + 3], expected[i])
                    .isEqualTo(Float.floatToRawIntBits(expected[i]));
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"})
    void refusesHalfABlock(DType dtype) {
        MemorySegment source = MemorySegment.ofArray(new byte[1_000]);
        assertThatThrownBy(() -> Decoder.of(dtype).decode(source, 0, new float[64], 0, 40))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("40 elements");
    }

    private static byte[] resource(String name) throws IOException {
        try (InputStream in = TestDecoder.class.getResourceAsStream(name)) {
            assertThat(in).as(name).isNotNull();
            return in.readAllBytes();
        }
    }

    private static float[] floats(byte[] bytes) {
        float[] floats = new float[bytes.length / Float.BYTES];
        ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(floats);
        return floats;
    }
}
