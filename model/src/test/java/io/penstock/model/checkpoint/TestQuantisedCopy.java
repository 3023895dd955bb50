package io.penstock.model.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.penstock.model.PenstockException;
import io.penstock.model.checkpoint.QuantisedCopy.Format;
import io.penstock.model.config.ModelConfig;
import io.penstock.model.config.ModelConfig.Architecture;
import io.penstock.model.config.ModelConfig.RopeLayout;
import io.penstock.model.config.RopeScaling;
import io.penstock.model.quant.MatrixDecoder;
import io.penstock.model.tensor.DType;
import io.penstock.model.tensor.Shape;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/// Whoever quantises a model gets one that reads as nearly the same, or a reason; never half of one.
class TestQuantisedCopy {
    /// `down` has 160 inputs, which groups of 128 do not divide; 128 x 128 tiles are cut at several edges.
    private static final ModelConfig CONFIG = new ModelConfig(
            Architecture.QWEN2,
            2,
            256,
            160,
            4,
            2,
            32,
            131,
            512,
            1e-5f,
            10_000,
            RopeLayout.HALVES,
            new RopeScaling.None(),
            true,
            false);
    private static final String DOWN = "layers.1.mlp.down";

    @TempDir
    private Path folder;

    private Path source;
    private Path target;

    @BeforeEach
    void writeModel() throws IOException {
        source = folder.resolve("source");
        target = folder.resolve("target");
        write(DType.BF16, 3);
    }

    private void write(DType dtype, int shards) throws IOException {
        TinyCheckpoints.writeFolder(source, CONFIG, dtype, shards, 7);
        Files.writeString(source.resolve("tokenizer.json"), "{}");
        Files.writeString(source.resolve("pytorch_model.bin"), "a pickle");
    }

    @ParameterizedTest
    @CsvSource({
        "INT4, BF16, 3, false",
        "INT4, F32, 1, true",
        "INT4, F16, 1, false",
        "FP8, BF16, 1, true",
        "FP8, F32, 3, false",
    })
    void everyWeightIsNearTheOriginal(Format format, DType dtype, int shards, boolean withOutput) throws IOException {
        source = folder.resolve("other");
        write(dtype, shards);
        QuantisedCopy.Summary summary = QuantisedCopy.write(source, target, format, withOutput);
        // q, k, v, output, gate, up, down of two layers.
        assertThat(summary.quantised()).isEqualTo((format == Format.INT4 ? 12 : 14) + (withOutput ? 1 : 0));
        assertThat(Files.readString(target.resolve("config.json")).contains("lm_head"))
                .isNotEqualTo(withOutput);
        Checkpoint before = Checkpoints.open(source);
        Checkpoint after = Checkpoints.open(target);
        assertThat(after.matrices()).hasSize(summary.quantised());
        assertThat(after.config()).isEqualTo(before.config());
        try (LocalFiles oldFiles = LocalFiles.at(source);
                LocalFiles newFiles = LocalFiles.at(target);
                MappedTensors old = new MappedTensors(before, oldFiles.paths());
                MappedTensors quantised = new MappedTensors(after, newFiles.paths())) {
            before.tensors().forEach((name, tensor) -> {
                if (!after.matrices().containsKey(name)) {
                    assertThat(quantised.whole(name).mismatch(old.whole(name)))
                            .as(name)
                            .isEqualTo(-1);
                    return;
                }
                int rows = Math.toIntExact(tensor.shape().extent(0));
                int columns = Math.toIntExact(tensor.shape().extent(1));
                MatrixDecoder expected = old.decoder(name);
                MatrixDecoder actual = quantised.decoder(name);
                for (int row = 0; row < rows; row++) {
                    float[] exact = new float[columns];
                    float[] near = new float[columns];
                    expected.decode(row, 0, columns, exact, 0);
                    actual.decode(row, 0, columns, near, 0);
                    switch (format) {
                        case INT4 -> checkGroups(name, exact, near);
                        case FP8 -> checkFloats(name, exact, near);
                    }
                }
            });
        }
        try (Stream<Path> entries = Files.list(folder)) {
            assertThat(entries.map(entry -> entry.getFileName().toString()))
                    .containsExactlyInAnyOrder("source", "other", "target");
        }
        assertThat(target.resolve("tokenizer.json")).exists();
        assertThat(target.resolve("pytorch_model.bin")).doesNotExist();
    }

    /// No worse in the square than rounding with the scale that covers all of a group; a single weight off by no more
    /// than the fifth of the range that a scale may leave uncovered.
    private static void checkGroups(String name, float[] exact, float[] near) {
        for (int start = 0; start < exact.length; start += 128) {
            double largest = 0;
            for (int i = start; i < start + 128; i++) {
                largest = Math.max(largest, Math.abs(exact[i]));
            }
            double scale = largest / 7.5;
            double square = 0;
            double rounded = 0;
            double worst = 0;
            for (int i = start; i < start + 128; i++) {
                double off = near[i] - exact[i];
                double bare = Math.clamp(Math.rint(exact[i] / scale), -8, 7) * scale - exact[i];
                worst = Math.max(worst, Math.abs(off));
                square += off * off;
                rounded += bare * bare;
            }
            assertThat(worst).as(name).isLessThan(0.27 * largest);
            // 3 %: the scale that is stored has 8 bits.
            assertThat(square).as(name).isLessThan(rounded * 1.03);
        }
    }

    /// e4m3 has 3 bits of fraction: a 16th of the number; small ones are off by half a 2^-9 of the scale, which is the
    /// tile's largest / 448. No weight of these models is as large as 1.
    private static void checkFloats(String name, float[] exact, float[] near) {
        double beyond = 0;
        for (int i = 0; i < exact.length; i++) {
            double allowed = Math.abs(exact[i]) / 16 * 1.001 + 0x1p-10 / 448;
            beyond = Math.max(beyond, Math.abs(near[i] - exact[i]) - allowed);
        }
        assertThat(beyond).as(name).isZero();
    }

    @Test
    void theConfigurationSaysWhatOtherReadersNeed() throws IOException {
        ObjectMapper json = new ObjectMapper();
        QuantisedCopy.Summary summary = QuantisedCopy.write(source, target, Format.INT4, false);
        assertThat(summary.kept())
                .containsExactlyInAnyOrder("model.layers.0.mlp.down_proj", "model.layers.1.mlp.down_proj");
        JsonNode config = json.readTree(Files.readString(target.resolve("config.json")));
        assertThat(config.path("quantization_config")
                        .path("ignore")
                        .valueStream()
                        .map(JsonNode::textValue))
                .contains("lm_head", "model.layers.1.mlp.down_proj");
        JsonNode index = json.readTree(Files.readString(target.resolve("model.safetensors.index.json")));
        assertThat(index.path("metadata").path("total_size").longValue()).isEqualTo(summary.bytes());
        assertThat(index.path("weight_map")
                        .path("model.layers.0.mlp.up_proj.weight_shape")
                        .isTextual())
                .isTrue();
        Path again = folder.resolve("again");
        QuantisedCopy.write(source, again, Format.FP8, false);
        assertThat(json.readTree(Files.readString(again.resolve("config.json")))
                        .path("quantization_config")
                        .path("quant_method")
                        .textValue())
                .isEqualTo("fp8");
    }

    @ParameterizedTest
    @EnumSource(Format.class)
    void aQuantisedModelIsRefused(Format format) throws IOException {
        QuantisedCopy.write(source, target, format, false);
        refused(target, folder.resolve("twice"), "is quantised already");
    }

    @Test
    void nothingIsWrittenOver() throws IOException {
        Files.createDirectory(target);
        refused(source, target, "exists; nothing is written over");
        refused(source, folder.resolve("no").resolve("where"), "its folder does not exist");
    }

    @Test
    void aFullDiskIsNoticedBeforeItIsFull() {
        assertThatThrownBy(() -> QuantisedCopy.write(source, target, Format.FP8, false, parent -> 1_000))
                .isInstanceOf(PenstockException.class)
                .hasMessageMatching(".*: [0-9]+ bytes are needed, 1000 are free");
        assertThat(target).doesNotExist();
    }

    /// The last matrix to be written holds no number: much was written by then.
    @Test
    void nothingIsLeftOfACopyThatFails() throws IOException {
        source = folder.resolve("broken");
        write(DType.F32, 1);
        TensorLocation down = Checkpoints.open(source).tensors().get(DOWN);
        Path file = source.resolve(down.file());
        byte[] bytes = Files.readAllBytes(file);
        byte[] nan = BlockEncoder.encode(DType.F32, new float[] {Float.NaN});
        System.arraycopy(nan, 0, bytes, Math.toIntExact(down.offset() + 4 * 160 * 5), nan.length);
        Files.write(file, bytes);
        assertThatThrownBy(() -> QuantisedCopy.write(source, target, Format.FP8, false))
                .isInstanceOf(CheckpointException.class)
                .hasMessageContaining(
                        "model.layers.1.mlp.down_proj.weight: from row 0: weight 800 of these rows is NaN");
        try (Stream<Path> entries = Files.list(folder)) {
            assertThat(entries.map(entry -> entry.getFileName().toString()))
                    .containsExactlyInAnyOrder("source", "broken");
        }
    }

    @Test
    void whatNoGroupsDivideIsRefused() throws IOException {
        Path small = folder.resolve("small");
        TinyCheckpoints.writeFolder(small, TinyCheckpoints.config(Architecture.LLAMA, true), DType.BF16, 1, 3);
        refused(small, target, "no matrix has inputs that groups of 128 divide");
        TinyCheckpoints.writeGguf(folder.resolve("m.gguf"), CONFIG, DType.F16, 3);
        refused(folder.resolve("m.gguf"), target, "only folders with config.json and safetensors");
    }

    /// Other readers of such a model look for the fused tensor, and would find its parts.
    @Test
    void fusedTensorsAreRefused() throws IOException {
        source = folder.resolve("fused");
        write(DType.F32, 1);
        Path file = source.resolve("model.safetensors");
        byte[] bytes = Files.readAllBytes(file);
        SafetensorsWriter writer = new SafetensorsWriter();
        byte[] gate = {};
        for (TensorLocation tensor : SafetensorsHead.parse(MemorySegment.ofArray(bytes), bytes.length, "file")) {
            int from = Math.toIntExact(tensor.offset());
            byte[] content = Arrays.copyOfRange(bytes, from, from + Math.toIntExact(tensor.length()));
            if (tensor.name().endsWith("gate_proj.weight")) {
                gate = content;
                continue;
            }
            boolean up = tensor.name().endsWith("up_proj.weight");
            byte[] both = Arrays.copyOf(gate, gate.length + content.length);
            System.arraycopy(content, 0, both, gate.length, content.length);
            writer.tensor(
                    up ? tensor.name().replace("up_proj", "gate_up_proj") : tensor.name(),
                    DType.F32,
                    up ? Shape.of(2L * CONFIG.intermediateSize(), CONFIG.hiddenSize()) : tensor.shape(),
                    up ? both : content);
        }
        Files.write(file, writer.toBytes());
        refused(source, target, "is part of a fused tensor");
    }

    private static void refused(Path from, Path to, String why) {
        assertThatThrownBy(() -> QuantisedCopy.write(from, to, Format.INT4, false))
                .isInstanceOf(PenstockException.class)
                .hasMessageContaining(why);
    }
}
