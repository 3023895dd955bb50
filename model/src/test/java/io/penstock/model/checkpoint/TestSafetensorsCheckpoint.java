package io.penstock.model.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.model.config.ModelConfig;
import io.penstock.model.config.ModelConfig.Architecture;
import io.penstock.model.tensor.DType;
import io.penstock.model.tensor.Shape;
import io.penstock.model.tensor.TensorNames;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class TestSafetensorsCheckpoint {
    private static final ModelConfig TINY = TinyCheckpoints.config(Architecture.QWEN2, false);

    @TempDir
    private Path folder;

    /// One model must be the same whichever format, and however many files, it came in.
    @ParameterizedTest
    @ValueSource(ints = {1, 3})
    void holdsTheSameAsTheGgufFile(int shards) throws IOException {
        TinyCheckpoints.writeFolder(folder.resolve("hf"), TINY, DType.F32, shards, 3);
        TinyCheckpoints.writeGguf(folder.resolve("tiny.gguf"), TINY, DType.F32, 3);
        Checkpoint safetensors = Checkpoints.open(folder.resolve("hf"));
        Checkpoint gguf = Checkpoints.open(folder.resolve("tiny.gguf"));

        assertThat(safetensors.config()).isEqualTo(TINY);
        // GGUF holds the constant as a float32.
        assertThat(gguf.config()).isEqualTo(TINY);
        assertThat(safetensors.tensors().keySet()).isEqualTo(gguf.tensors().keySet());
        assertThat(safetensors.tensors().values().stream()
                        .map(TensorLocation::file)
                        .distinct())
                .hasSize(shards);
        try (LocalFiles files = LocalFiles.at(folder.resolve("hf"));
                MappedTensors left = new MappedTensors(safetensors, files.paths());
                MappedTensors right = new MappedTensors(gguf, Map.of("tiny.gguf", folder.resolve("tiny.gguf")))) {
            for (String name : safetensors.tensors().keySet()) {
                assertThat(left.whole(name).mismatch(right.whole(name)))
                        .as(name)
                        .isEqualTo(-1);
            }
        }
    }

    @Test
    void tiedModelMaySaveItsMatrixTwice() throws IOException {
        ModelConfig tied = TinyCheckpoints.config(Architecture.LLAMA, true);
        TinyCheckpoints.writeFolder(folder, TinyCheckpoints.config(Architecture.LLAMA, false), DType.BF16, 1, 3);
        Files.writeString(
                folder.resolve("config.json"), TinyCheckpoints.configJson(tied).toString());
        Checkpoint checkpoint = Checkpoints.open(folder);
        assertThat(checkpoint.config().tiedEmbeddings()).isTrue();
        assertThat(checkpoint.tensors()).doesNotContainKey(TensorNames.OUTPUT);
    }

    static Stream<Arguments> hostileHeaders() {
        String ten = "\"a\": {\"dtype\": \"F32\", \"shape\": [2, 5], \"data_offsets\": [0, 40]}";
        return Stream.of(
                Arguments.of("{%s, %s}".formatted(ten, ten), "Duplicate field 'a'"),
                Arguments.of("{" + ten.replace("[2, 5]", "[2, 6]") + "}", "a: at"),
                Arguments.of("{" + ten.replace("[2, 5]", "[-2, -5]") + "}", "a: near offset"),
                Arguments.of("{" + ten.replace("[2, 5]", "[2.0, 5]") + "}", "a: near offset"),
                Arguments.of("{" + ten.replace("[2, 5]", "[1e1]") + "}", "a: near offset"),
                Arguments.of("{" + ten.replace("[2, 5]", "[4294967296, 4294967296]") + "}", "a: near offset"),
                Arguments.of("{" + ten.replace("[2, 5]", "[99999999999999999999]") + "}", "a: near offset"),
                Arguments.of("{" + ten.replace("[2, 5]", "[2, [5]]") + "}", "a: near offset"),
                Arguments.of("{" + ten.replace("[2, 5]", "[1,1,1,1,1,1,1,1,10]") + "}", "a: near offset"),
                Arguments.of("{" + ten.replace("[0, 40]", "[40, 0]") + "}", "data_offsets are [40, 0]"),
                Arguments.of("{" + ten.replace("[0, 40]", "[4, 44]") + "}", "a: starts at offset"),
                Arguments.of("{" + ten.replace("[0, 40]", "[0, 40, 80]") + "}", "more than 2 numbers"),
                Arguments.of("{" + ten.replace("[0, 40]", "[0]") + "}", "two data_offsets"),
                Arguments.of(
                        "{" + ten.replace("[0, 40]", "[0, 9223372036854775807]") + "}",
                        "data_offsets are [0, 9223372036854775807]"),
                Arguments.of("{" + ten.replace("F32", "F64") + "}", "a: near offset"),
                Arguments.of("{" + ten.replace("\"dtype\"", "\"type\"") + "}", "unknown field \"type\""),
                Arguments.of("{\"a\": {\"dtype\": \"F32\", \"shape\": [10]}}", "a: near offset"),
                Arguments.of("{%s, %s}".formatted(ten, ten.replace("\"a\"", "\"b\"")), "b: starts at offset"),
                Arguments.of("{}", "end: 40 bytes follow the last tensor"),
                Arguments.of("{" + ten.replace("[2, 5]", "[9]").replace("40]", "36]") + "}", "end: 4 bytes follow"),
                Arguments.of("{" + ten.replace("[2, 5]", "[11]").replace("40]", "44]") + "}", "a: ends at offset"),
                Arguments.of("{%s, \"__metadata__\": {\"x\": 1}}".formatted(ten), "__metadata__.x"),
                Arguments.of("{%s} x".formatted(ten), "JSON"),
                Arguments.of("{%s".formatted(ten), "header"),
                Arguments.of(" {%s}".formatted(ten), "does not start with '{'"),
                Arguments.of("\uFEFF{%s}".formatted(ten), "does not start with '{'"),
                Arguments.of("{\"" + "n".repeat(5_000) + "\": {}}", "header"),
                Arguments.of("{\"a\":" + "{\"a\":".repeat(50_000), "a: "),
                Arguments.of("{\"a\":" + "[".repeat(50_000), "a: "));
    }

    @ParameterizedTest
    @MethodSource("hostileHeaders")
    void refusesHostileHeaders(String header, String message) {
        byte[] file = SafetensorsWriter.file(header, new byte[40]);
        assertThatThrownBy(() -> SafetensorsHead.parse(MemorySegment.ofArray(file), file.length, "bad.safetensors"))
                .isExactlyInstanceOf(CheckpointException.class)
                .hasMessageStartingWith("bad.safetensors: ")
                .hasMessageContaining(message);
    }

    @ParameterizedTest
    @ValueSource(longs = {0, 1, -1, Long.MAX_VALUE, Long.MIN_VALUE, 100_000_001, 1_000})
    void refusesHostileHeaderLengths(long length) {
        byte[] file = SafetensorsWriter.file("{}", new byte[40]);
        ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN).putLong(length);
        assertThatThrownBy(() -> SafetensorsHead.parse(MemorySegment.ofArray(file), file.length, "bad.safetensors"))
                .isExactlyInstanceOf(CheckpointException.class)
                .hasMessageStartingWith("bad.safetensors: header: ");
    }

    @Test
    void asksForTheWholeHeader() {
        byte[] file = new SafetensorsWriter()
                .tensor("a", DType.F32, Shape.of(10), new byte[40])
                .toBytes();
        long headerEnd = file.length - 40L;
        for (int present = 0; present < headerEnd; present++) {
            MemorySegment head = MemorySegment.ofArray(file).asSlice(0, present);
            long expected = present < 8 ? 8 : headerEnd;
            assertThatThrownBy(() -> SafetensorsHead.parse(head, file.length, "a.safetensors"))
                    .isInstanceOfSatisfying(
                            HeadTooShortException.class,
                            e -> assertThat(e.needed()).isEqualTo(expected));
        }
        MemorySegment head = MemorySegment.ofArray(file).asSlice(0, headerEnd);
        assertThat(SafetensorsHead.parse(head, file.length, "a.safetensors")).hasSize(1);
    }

    static Stream<Arguments> hostileIndexes() {
        String first = "model-00001-of-00002.safetensors";
        return Stream.of(
                Arguments.of(first, "../" + first, "names \"../" + first),
                Arguments.of(first, "/etc/passwd", "names \"/etc/passwd\""),
                Arguments.of(first, "absent.safetensors", "names \"absent.safetensors\""),
                Arguments.of(first, "config.json", "names \"config.json\""),
                Arguments.of("\"model.norm.weight\"", "\"model.morn.weight\"", "model.norm.weight: is here, but not"),
                Arguments.of("\"weight_map\"", "\"weight_mop\"", "weight_map: is missing or empty"),
                Arguments.of(
                        "\"weight_map\" : {",
                        "\"weight_map\" : {\"extra.weight\": \"" + first + "\",",
                        "extra.weight: should be in " + first));
    }

    @ParameterizedTest
    @MethodSource("hostileIndexes")
    void refusesAnIndexThatLies(String replaced, String by, String message) throws IOException {
        TinyCheckpoints.writeFolder(folder, TINY, DType.F16, 2, 3);
        Path index = folder.resolve("model.safetensors.index.json");
        String text = Files.readString(index);
        assertThat(text).contains(replaced);
        Files.writeString(index, text.replace(replaced, by));
        assertThatThrownBy(() -> Checkpoints.open(folder))
                .isExactlyInstanceOf(CheckpointException.class)
                .hasMessageContaining(message);
    }

    @Test
    void refusesTensorsThatDoNotFitTheConfiguration() throws IOException {
        TinyCheckpoints.writeFolder(folder, TINY, DType.F16, 1, 3);
        Path config = folder.resolve("config.json");
        String text = Files.readString(config);
        assertRefusedWith(config, text.replace(": 160", ": 192"), "model.layers.0.mlp.gate_proj.weight: at offset");
        assertRefusedWith(
                config,
                text.replace("\"num_hidden_layers\" : 5", "\"num_hidden_layers\" : 6"),
                "model.layers.5.input_layernorm.weight: is missing; [96] is expected");
        assertRefusedWith(
                config,
                text.replace("\"num_hidden_layers\" : 5", "\"num_hidden_layers\" : 4"),
                "has no place in this configuration of 4 layers");
        assertRefusedWith(
                config,
                text.replace("Qwen2ForCausalLM", "LlamaForCausalLM").replace("\"qwen2\"", "\"llama\""),
                "_proj.bias: at offset");
    }

    private void assertRefusedWith(Path config, String text, String message) throws IOException {
        Files.writeString(config, text);
        assertThatThrownBy(() -> Checkpoints.open(folder))
                .isExactlyInstanceOf(CheckpointException.class)
                .hasMessageStartingWith("model.safetensors: ")
                .hasMessageContaining(message);
    }
}
