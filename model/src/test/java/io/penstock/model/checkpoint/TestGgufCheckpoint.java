package io.penstock.model.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;

import io.penstock.model.config.ModelConfig;
import io.penstock.model.config.ModelConfig.Architecture;
import io.penstock.model.config.ModelConfig.RopeLayout;
import io.penstock.model.config.RopeScaling;
import io.penstock.model.tensor.DType;
import io.penstock.model.tensor.LayerTensor;
import io.penstock.model.tensor.Shape;
import io.penstock.model.tensor.TensorNames;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

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
}
