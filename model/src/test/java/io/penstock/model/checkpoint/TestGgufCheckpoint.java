package io.penstock.model.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.penstock.model.config.ModelConfig;
import io.penstock.model.config.ModelConfig.Architecture;
import io.penstock.model.config.ModelConfig.RopeLayout;
import io.penstock.model.config.RopeScaling;
import io.penstock.model.tensor.DType;
import io.penstock.model.tensor.LayerTensor;
import io.penstock.model.tensor.Shape;
import io.penstock.model.tensor.TensorLayout;
import io.penstock.model.tensor.TensorNames;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TestGgufCheckpoint {
    @Test
    void readsTheRealModel() throws IOException {
        Checkpoint checkpoint = Checkpoints.open(RealModel.gguf());

        assertThat(checkpoint.config())
                .isEqualTo(new ModelConfig(
                        Architecture.LLAMA,
                        30,
                        576,
                        1536,
                        9,
                        3,
                        64,
                        49152,
                        8192,
                        1e-5f,
                        100_000,
                        RopeLayout.INTERLEAVED,
                        new RopeScaling.None(),
                        false,
                        true));
        assertThat(checkpoint.tensors()).hasSize(30 * 9 + 2);
        TensorLocation down = checkpoint.tensors().get(TensorNames.layer(0, LayerTensor.DOWN));
        // As gguf-py reads the same file.
        assertThat(down)
                .isEqualTo(new TensorLocation(
                        "blk.0.ffn_down.weight",
                        DType.Q4_1,
                        Shape.of(576, 1536),
                        Path.of("smollm2-135m-instruct.gguf"),
                        31868992,
                        552960));
        assertThat(checkpoint.tensors().get(TensorNames.EMBEDDING).offset()).isEqualTo(1785664);
        long end = checkpoint.tensors().values().stream()
                .mapToLong(tensor -> tensor.offset() + tensor.length())
                .max()
                .orElseThrow();
        assertThat(end).isLessThanOrEqualTo(Files.size(RealModel.gguf()));
    }

    @Test
    void handsTheTokenizerItsParts() {
        GgufMetadata metadata = ((GgufCheckpoint) Checkpoints.open(RealModel.gguf())).metadata();

        assertThat(metadata.tokenizerModel()).contains("gpt2");
        assertThat(metadata.preTokenizer()).contains("smollm");
        assertThat(metadata.tokens()).hasSize(49152).startsWith("<|endoftext|>", "<|im_start|>", "<|im_end|>");
        assertThat(metadata.tokenTypes()).hasSize(49152).startsWith(3, 3, 3);
        assertThat(metadata.merges()).hasSize(48900).startsWith("Ġ t", "Ġ a", "i n");
        assertThat(metadata.tokenId("bos")).hasValue(1);
        assertThat(metadata.tokenId("eos")).hasValue(2);
        assertThat(metadata.tokenId("eot")).isEmpty();
        assertThat(metadata.bool("tokenizer.ggml.add_bos_token")).contains(false);
        assertThat(metadata.chatTemplate().orElseThrow()).startsWith("{% for message in messages %}");
    }

    /// A shard or a gateway has only the head of the file; what it must fetch next is named until that is enough.
    @Test
    void readsFromAGrowingHead() throws IOException {
        Path path = RealModel.gguf();
        long length = Files.size(path);
        Checkpoint whole = Checkpoints.open(path);
        int wanted = 1;
        Checkpoint fromHead = null;
        while (fromHead == null) {
            byte[] head = new byte[wanted];
            try (RandomAccessFile file = new RandomAccessFile(path.toFile(), "r")) {
                file.readFully(head);
            }
            try {
                fromHead = GgufCheckpoint.parse(MemorySegment.ofArray(head), length, "smollm2-135m-instruct.gguf");
            } catch (HeadTooShortException e) {
                assertThat(e.needed()).isGreaterThan(wanted).isLessThan(1785664);
                wanted = Math.toIntExact(Math.max(e.needed(), 2L * wanted));
            }
        }
        assertThat(fromHead.tensors()).isEqualTo(whole.tensors());
        assertThat(fromHead.config()).isEqualTo(whole.config());
    }

    /// Large models come as several files; what is read of them is what one file would have said.
    @Test
    void readsTheParts(@TempDir Path folder) throws IOException {
        ModelConfig config = TinyCheckpoints.config(Architecture.QWEN2, false);
        writeParts(folder, config, 2);
        Path whole = folder.resolve("whole");
        Files.createDirectories(whole);
        TinyCheckpoints.writeGguf(whole.resolve("tiny.gguf"), config, DType.Q8_0, 3);

        Checkpoint parts = Checkpoints.open(folder);
        Checkpoint one = Checkpoints.open(whole);
        assertThat(parts.config()).isEqualTo(one.config());
        assertThat(parts.tensors().keySet()).isEqualTo(one.tensors().keySet());
        try (MappedTensors split = mapped(folder, parts);
                MappedTensors single = mapped(whole, one)) {
            for (String name : one.tensors().keySet()) {
                assertThat(split.whole(name).mismatch(single.whole(name)))
                        .as(name)
                        .isEqualTo(-1);
            }
        }
    }

    private static MappedTensors mapped(Path folder, Checkpoint checkpoint) {
        try (LocalFiles files = LocalFiles.at(folder)) {
            return new MappedTensors(checkpoint, files.paths());
        }
    }

    private static void writeParts(Path folder, ModelConfig config, int count) throws IOException {
        List<String> tensors = TensorLayout.of(config).stream()
                .map(tensor -> NameScheme.GGUF.spell(tensor.name()))
                .toList();
        int cut = tensors.size() / 3;
        GgufWriter first = TinyCheckpoints.gguf(config, DType.Q8_0, 3);
        GgufWriter second = TinyCheckpoints.gguf(config, DType.Q8_0, 3);
        tensors.subList(cut, tensors.size()).forEach(first::removeTensor);
        tensors.subList(0, cut).forEach(second::removeTensor);
        int part = 0;
        for (GgufWriter writer : List.of(first, second)) {
            writer.put("split.no", part).put("split.count", count).put("split.tensors.count", tensors.size());
            Files.write(folder.resolve("tiny-%05d-of-00002.gguf".formatted(++part)), writer.toBytes());
        }
    }

    @Test
    void refusesPartsThatDoNotBelongTogether(@TempDir Path folder) throws IOException {
        ModelConfig config = TinyCheckpoints.config(Architecture.QWEN2, false);
        writeParts(folder, config, 3);
        assertThatThrownBy(() -> Checkpoints.open(folder))
                .isInstanceOf(CheckpointException.class)
                .hasMessageContaining("tiny-00001-of-00002.gguf: split.count: is 3, 2 is expected");

        writeParts(folder, config, 2);
        Path second = folder.resolve("tiny-00002-of-00002.gguf");
        Files.copy(folder.resolve("tiny-00001-of-00002.gguf"), second, StandardCopyOption.REPLACE_EXISTING);
        assertThatThrownBy(() -> Checkpoints.open(folder))
                .isInstanceOf(CheckpointException.class)
                .hasMessageContaining("tiny-00002-of-00002.gguf: split.no: is 0, 1 is expected");

        Files.delete(second);
        assertThatThrownBy(() -> Checkpoints.open(folder))
                .isInstanceOf(CheckpointException.class)
                .hasMessageContaining("name the folder that holds all parts");
    }
}
