package io.penstock.model.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.penstock.model.quant.Companion;
import io.penstock.model.quant.MatrixDecoder;
import io.penstock.model.quant.StoredMatrix;
import io.penstock.model.quant.StoredTensor;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.MemorySegment;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.Map;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/// Weights that are read wrong make a model that talks nonsense, or one that is subtly worse. Each
/// format against what its own tools decode: `tools/references/formats.py` wrote the files.
class TestQuantisedFormats {
    private static final ObjectMapper JSON = new ObjectMapper();

    static Stream<String> cases() throws IOException {
        Iterable<String> names = () -> {
            try {
                return index().fieldNames();
            } catch (IOException e) {
                throw new AssertionError(e);
            }
        };
        return StreamSupport.stream(names.spliterator(), false);
    }

    private static JsonNode index() throws IOException {
        return JSON.readTree(bytes("cases.json"));
    }

    private static byte[] bytes(String name) throws IOException {
        try (InputStream in = TestQuantisedFormats.class.getResourceAsStream("formats/" + name)) {
            assertThat(in).as(name).isNotNull();
            return in.readAllBytes();
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void decodesAsTheFormatsOwnToolsDo(String name) throws IOException {
        JsonNode described = index().path(name);
        QuantisationScheme scheme = QuantisationScheme.of(described.path("quantization_config"));
        int rows = described.path("rows").intValue();
        int columns = described.path("columns").intValue();
        Map<String, StoredTensor> tensors = tensors(bytes(name + ".safetensors"));
        StoredMatrix matrix = new StoredMatrix(scheme.format().orElseThrow(), rows, columns);
        Map<Companion, StoredTensor> companions = new EnumMap<>(Companion.class);
        scheme.companions().forEach((suffix, role) -> {
            StoredTensor tensor = tensors.remove("m." + suffix);
            if (tensor != null) {
                companions.put(role, tensor);
            }
        });
        StoredTensor payload = tensors.remove("m." + scheme.payload());
        float[] expected = new float[rows * columns];
        MatrixDecoder.plain(tensors.remove("expected"), columns).decode(0, 0, expected.length, expected, 0);
        scheme.ignored().forEach(suffix -> tensors.remove("m." + suffix));
        assertThat(tensors).as("tensors that nothing is said of").isEmpty();

        MatrixDecoder decoder = MatrixDecoder.of(matrix, payload, companions);
        float[] decoded = new float[columns];
        for (int row = 0; row < rows; row++) {
            // In two parts, as a rank reads its columns.
            int cut = columns / 3;
            decoder.decode(row, 0, cut, decoded, 0);
            decoder.decode(row, cut, columns - cut, decoded, cut);
            for (int column = 0; column < columns; column++) {
                float wanted = expected[row * columns + column];
                assertThat(Math.abs(decoded[column] - wanted))
                        .as("row %d, column %d: %s, not %s", row, column, decoded[column], wanted)
                        .isLessThanOrEqualTo(Math.ulp(wanted));
            }
        }
    }

    private static Map<String, StoredTensor> tensors(byte[] file) {
        MemorySegment whole = MemorySegment.ofArray(file);
        Map<String, StoredTensor> tensors = new HashMap<>();
        for (TensorLocation tensor : SafetensorsHead.parse(whole, file.length, "case.safetensors")) {
            MemorySegment bytes = whole.asSlice(tensor.offset(), tensor.length());
            tensors.put(tensor.name(), new StoredTensor(tensor.dtype(), tensor.shape(), bytes));
        }
        return tensors;
    }

    @Test
    void refusesAGroupThatThereIsNot() throws IOException {
        byte[] file = bytes("gptq-int4-g32-act-order.safetensors");
        Map<String, StoredTensor> tensors = tensors(file);
        QuantisationScheme scheme =
                QuantisationScheme.of(index().path("gptq-int4-g32-act-order").path("quantization_config"));
        StoredMatrix matrix = new StoredMatrix(scheme.format().orElseThrow(), 24, 128);
        StoredTensor groups = tensors.get("m.g_idx");
        byte[] wrong = groups.bytes().toArray(java.lang.foreign.ValueLayout.JAVA_BYTE);
        wrong[7 * 4] = 4;
        Map<Companion, StoredTensor> companions = new EnumMap<>(Map.of(
                Companion.SCALES, tensors.get("m.scales"),
                Companion.ZEROS, tensors.get("m.qzeros"),
                Companion.GROUPS, new StoredTensor(groups.dtype(), groups.shape(), MemorySegment.ofArray(wrong))));
        assertThatThrownBy(() -> MatrixDecoder.of(matrix, tensors.get("m.qweight"), companions))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("input 7 is said to be of group 4, of 4");
        companions.remove(Companion.SCALES);
        assertThatThrownBy(() -> MatrixDecoder.of(matrix, tensors.get("m.qweight"), companions))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("SCALES is missing");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "{}",
                "{\"quant_method\": \"exl2\"}",
                "{\"quant_method\": \"gptq\", \"bits\": 3, \"group_size\": 128}",
                "{\"quant_method\": \"gptq\", \"bits\": 4}",
                "{\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": -2}",
                "{\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": 128, \"checkpoint_format\": \"marlin\"}",
                "{\"quant_method\": \"awq\", \"bits\": 4, \"group_size\": 128, \"version\": \"gemv\"}",
                "{\"quant_method\": \"fp8\", \"fmt\": \"e3m4\"}",
                "{\"quant_method\": \"fp8\", \"weight_block_size\": [128]}",
                "{\"quant_method\": \"fp8\", \"weight_block_size\": [0, 128]}",
                "{\"quant_method\": \"bitsandbytes\", \"load_in_4bit\": true, \"bnb_4bit_quant_type\": \"int4\"}",
                "{\"quant_method\": \"compressed-tensors\", \"config_groups\": {}}",
                "{\"quant_method\": \"compressed-tensors\", \"format\": \"marlin-24\", \"config_groups\": {\"g\": {}}}",
            })
    void refusesWhatIsNotRead(String config) {
        assertThatThrownBy(() -> QuantisationScheme.of(JSON.readTree(config)))
                .isInstanceOf(CheckpointException.class)
                .hasMessageStartingWith("config.json: quantization_config.");
    }
}
