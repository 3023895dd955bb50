package io.penstock.model.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowable;

import io.penstock.model.checkpoint.GgufWriter.Field;
import io.penstock.model.config.ModelConfig;
import io.penstock.model.config.ModelConfig.Architecture;
import io.penstock.model.config.RopeScaling;
import io.penstock.model.tensor.DType;
import io.penstock.model.tensor.Shape;
import io.penstock.model.tensor.TensorNames;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// A file from outside is believed in nothing: each field of its head altered, the file cut at each of them.
class TestHostileGguf {
    private static final ModelConfig TINY = TinyCheckpoints.config(Architecture.LLAMA, true);
    /// Fields whose every change breaks the file's structure.
    private static final Set<String> STRUCTURE = Set.of(
            "magic",
            "version",
            "tensor count",
            "key count",
            "key length",
            "value length",
            "element length",
            "array length",
            "name length",
            "dimensions",
            "extent",
            "type",
            "offset");

    private static GgufCheckpoint parse(byte[] file) {
        return GgufCheckpoint.parse(MemorySegment.ofArray(file), file.length, "tiny.gguf");
    }

    private static void assertRefused(byte[] file, String what) {
        Throwable thrown = catchThrowable(() -> parse(file));
        // The whole file is there, so nothing more may be asked for.
        assertThat(thrown).as(what).isExactlyInstanceOf(CheckpointException.class);
        // File, subject, what is wrong.
        assertThat(thrown.getMessage()).as(what).matches("(?s)tiny\\.gguf: [^:]+: .+");
        assertThat(thrown.getMessage()).as(what).doesNotContain("null");
    }

    @Test
    void refusesEachStructuralFieldAltered() {
        GgufWriter writer = TinyCheckpoints.gguf(TINY, DType.Q4_1, 5);
        byte[] sound = writer.toBytes();
        assertThat(parse(sound).tensors()).hasSize(5 * 9 + 2);
        int altered = 0;
        for (Field field : writer.fields()) {
            if (!STRUCTURE.contains(field.kind())) {
                continue;
            }
            long value = get(sound, field);
            for (long other : new long[] {
                value + 1, value - 1, 0, -1, Integer.MAX_VALUE, Long.MAX_VALUE, Long.MIN_VALUE, value << 8, value + 32
            }) {
                byte[] bad = sound.clone();
                set(bad, field, other);
                boolean same = Arrays.equals(bad, sound);
                boolean olderVersion = field.kind().equals("version") && get(bad, field) == 2;
                if (!same && !olderVersion) {
                    assertRefused(bad, field + " = " + other);
                    altered++;
                }
            }
        }
        assertThat(altered).isGreaterThan(2_000);
    }

    /// The tensor at fault is the one named, or the next, whose place no longer fits.
    @Test
    void namesTheTensorAtFault() {
        GgufWriter writer = TinyCheckpoints.gguf(TINY, DType.Q8_0, 5);
        byte[] sound = writer.toBytes();
        for (Field field : writer.fields()) {
            if (field.kind().equals("offset") || field.kind().equals("dimensions")) {
                byte[] bad = sound.clone();
                set(bad, field, get(sound, field) + 64);
                assertThatThrownBy(() -> parse(bad))
                        .hasMessageStartingWith("tiny.gguf: " + field.subject() + ": ")
                        .hasMessageContaining(String.valueOf(field.offset()));
            }
        }
    }

    @Test
    void refusesAFileCutAnywhere() {
        GgufWriter writer = TinyCheckpoints.gguf(TINY, DType.Q4_0, 5);
        byte[] sound = writer.toBytes();
        for (Field field : writer.fields()) {
            assertRefused(Arrays.copyOf(sound, field.offset()), "cut before " + field);
            assertRefused(Arrays.copyOf(sound, field.offset() + Math.max(0, field.bytes() - 1)), "cut within " + field);
        }
        for (int cut = 1; cut < 100_000; cut = cut * 2 + 1) {
            // Less than the padding after the last tensor is no loss.
            if (cut >= 32) {
                assertRefused(Arrays.copyOf(sound, sound.length - cut), "cut " + cut + " before the end");
            }
            assertRefused(Arrays.copyOf(sound, sound.length + cut), cut + " bytes too many");
        }
    }

    @ParameterizedTest
    @CsvSource({
        "llama.block_count, 0, llama.block_count",
        "llama.block_count, 6, blk.5.attn_norm.weight: is missing",
        "llama.block_count, 4, has no place in this configuration of 4 layers",
        "llama.block_count, -1, llama.block_count",
        "llama.context_length, 0, llama.context_length",
        "llama.context_length, -1, llama.context_length",
        "llama.embedding_length, 97, token_embd.weight: at offset",
        "llama.feed_forward_length, 161, blk.0.ffn_gate.weight: at offset",
        "llama.attention.head_count, 0, llama.attention.head_count",
        "llama.attention.head_count, 7, 7 attention heads do not divide over 3",
        "llama.attention.head_count, 9, blk.0.attn_q.weight: at offset",
        "llama.attention.head_count_kv, 0, llama.attention.head_count_kv",
        "llama.attention.head_count_kv, 2, blk.0.attn_k.weight: at offset",
        "llama.attention.key_length, 64, llama.attention.value_length: is 32",
        "llama.attention.value_length, 64, llama.attention.value_length: is 64",
        "llama.rope.dimension_count, 16, llama.rope.dimension_count: is 16",
        "llama.vocab_size, 132, llama.vocab_size: says 132 tokens",
        "llama.expert_count, 8, llama.expert_count: a variant of LLAMA",
        "llama.attention.sliding_window, 128, llama.attention.sliding_window: a variant",
        "tokenizer.ggml.eos_token_id, 131, tokenizer.ggml.eos_token_id: is 131",
        "tokenizer.ggml.bos_token_id, -1, tokenizer.ggml.bos_token_id: is 4294967295",
        "split.count, 2, split.count",
        "general.alignment, 0, general.alignment: is 0",
        "general.alignment, 48, general.alignment: is 48",
        "general.alignment, -1, general.alignment: is 4294967295",
        "general.architecture, 1, general.architecture",
    })
    void refusesValuesThatContradict(String key, int value, String message) {
        byte[] file = TinyCheckpoints.gguf(TINY, DType.F16, 5).put(key, value).toBytes();
        assertThatThrownBy(() -> parse(file))
                .isExactlyInstanceOf(CheckpointException.class)
                .hasMessageStartingWith("tiny.gguf: ")
                .hasMessageContaining(message);
    }

    @Test
    void refusesOtherContradictions() {
        assertBad("general.architecture", "mamba", "general.architecture: is \"mamba\"");
        assertBad("llama.attention.layer_norm_rms_epsilon", Float.NaN, "llama.*: RMS norm epsilon NaN");
        assertBad("llama.rope.freq_base", -1f, "llama.*: rotary base -1.0");
        assertBad("llama.rope.freq_base", 10_000, "llama.rope.freq_base: at offset");
        assertBad("llama.rope.scaling.type", "longrope", "llama.rope.scaling.type: is \"longrope\"");
        assertBad("llama.rope.scaling.factor", Float.NaN, "llama.*: linear factor is NaN");
        assertBad("llama.logit_scale", 2f, "llama.logit_scale: a variant");
        assertBad("llama.attention.causal", false, "llama.attention.causal");
        assertBad("tokenizer.ggml.tokens", List.of("a"), "tokenizer.ggml.tokens: says 1 tokens");
        assertBad("tokenizer.ggml.token_type", new int[] {1}, "tokenizer.ggml.token_type: says 1 tokens");
        assertBad("bad\nkey", 1, "byte 0x0a");
        byte[] missing = TinyCheckpoints.gguf(TINY, DType.F16, 5)
                .remove("llama.attention.head_count")
                .toBytes();
        assertThatThrownBy(() -> parse(missing)).hasMessageContaining("llama.attention.head_count: is missing");
    }

    private static void assertBad(String key, Object value, String message) {
        byte[] file = TinyCheckpoints.gguf(TINY, DType.F16, 5).put(key, value).toBytes();
        assertThatThrownBy(() -> parse(file))
                .isExactlyInstanceOf(CheckpointException.class)
                .hasMessageContaining(message);
    }

    @Test
    void refusesTensorsMissingUnknownOrOfAnImpossibleKind() {
        GgufWriter writer = TinyCheckpoints.gguf(TINY, DType.F16, 5);
        byte[] missing = writer.removeTensor("blk.2.ffn_up.weight").toBytes();
        assertThatThrownBy(() -> parse(missing)).hasMessageContaining("blk.2.ffn_up.weight: is missing");
        for (String name :
                List.of("blk.2.attn_q_norm.weight", "blk.02.ffn_up.weight", "surprise", "blk.9.attn_q.weight")) {
            byte[] extra = TinyCheckpoints.gguf(TINY, DType.F16, 5)
                    .tensor(name, DType.F32, Shape.of(1), new byte[4])
                    .toBytes();
            assertThatThrownBy(() -> parse(extra)).hasMessageStartingWith("tiny.gguf: " + name + ": ");
        }
        byte[] quantised = TinyCheckpoints.gguf(TINY, DType.F16, 5)
                .tensor("output_norm.weight", DType.Q8_0, Shape.of(96), new byte[3 * 34])
                .toBytes();
        assertThatThrownBy(() -> parse(quantised))
                .hasMessageContaining("output_norm.weight: at offset")
                .hasMessageContaining("vectors are F32, F16 or BF16");
        byte[] harmless = TinyCheckpoints.gguf(TINY, DType.F16, 5)
                .tensor("blk.0.attn_rot_embd.weight", DType.F32, Shape.of(16), new byte[64])
                .toBytes();
        assertThat(parse(harmless).tensors()).hasSize(5 * 9 + 2);
    }

    @Test
    void readsRotaryScalings() {
        byte[] divisors = TinyCheckpoints.gguf(TINY, DType.F16, 5)
                .tensor("rope_freqs.weight", DType.F32, Shape.of(16), new byte[64])
                .toBytes();
        GgufCheckpoint checkpoint = parse(divisors);
        assertThat(checkpoint.config().ropeScaling()).isEqualTo(new RopeScaling.Divisors());
        assertThat(checkpoint.tensors().get(TensorNames.ROPE_DIVISORS).shape()).isEqualTo(Shape.of(16));

        byte[] yarn = TinyCheckpoints.gguf(TINY, DType.F16, 5)
                .put("llama.rope.scaling.type", "yarn")
                .put("llama.rope.scaling.factor", 4f)
                .put("llama.rope.scaling.original_context_length", 256)
                .toBytes();
        assertThat(parse(yarn).config().ropeScaling())
                .isEqualTo(new RopeScaling.Yarn(4, 1 + 0.1 * Math.log(4), 32, 1, 256));
        assertThat(parse(yarn).config().contextLength()).isEqualTo(1024);

        byte[] linear = TinyCheckpoints.gguf(TINY, DType.F16, 5)
                .put("llama.rope.scaling.factor", 2f)
                .toBytes();
        assertThat(parse(linear).config().ropeScaling()).isEqualTo(new RopeScaling.Linear(2));
    }

    @Test
    void refusesTextThatIsNotUtf8WhenItIsAskedFor() {
        GgufWriter writer = TinyCheckpoints.gguf(TINY, DType.F16, 5);
        byte[] file = writer.toBytes();
        Field token = writer.fields().stream()
                .filter(field -> field.subject().equals("tokenizer.ggml.tokens")
                        && field.kind().equals("element"))
                .skip(3)
                .findFirst()
                .orElseThrow();
        file[token.offset()] = (byte) 0xff;
        List<String> tokens = parse(file).metadata().tokens();
        assertThat(tokens.get(2)).isEqualTo("t2");
        assertThatThrownBy(() -> tokens.get(3))
                .isExactlyInstanceOf(CheckpointException.class)
                .hasMessageStartingWith("tiny.gguf: tokenizer.ggml.tokens: ");
    }

    private static long get(byte[] file, Field field) {
        ByteBuffer bytes = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN);
        return field.bytes() == Integer.BYTES ? bytes.getInt(field.offset()) : bytes.getLong(field.offset());
    }

    private static void set(byte[] file, Field field, long value) {
        ByteBuffer bytes = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN);
        if (field.bytes() == Integer.BYTES) {
            bytes.putInt(field.offset(), (int) value);
        } else {
            bytes.putLong(field.offset(), value);
        }
    }
}
