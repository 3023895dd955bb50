package io.penstock.model.checkpoint;

import io.penstock.model.PenstockException;
import io.penstock.model.config.Experts;
import io.penstock.model.config.LatentAttention;
import io.penstock.model.config.ModelConfig;
import io.penstock.model.config.ModelConfig.Architecture;
import io.penstock.model.config.ModelConfig.RopeLayout;
import io.penstock.model.config.RopeScaling;
import io.penstock.model.tensor.LayerTensor;
import io.penstock.model.tensor.TensorNames;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalLong;
import java.util.function.Function;
import java.util.stream.Collectors;

/// The configuration that a GGUF file's metadata describes. Keys that would change the arithmetic in a way that is not
/// built are refused, not overlooked.
final class GgufConfig {
    private static final String TOKENS = "tokenizer.ggml.tokens";
    /// Keys, after the architecture's name, of variants of these models that compute something else.
    private static final List<String> REFUSED = List.of(
            "attention.sliding_window",
            "attention.scale",
            "attention.max_alibi_bias",
            "attention.clamp_kqv",
            "attn_logit_softcapping",
            "final_logit_softcapping",
            "logit_scale",
            "residual_scale",
            "embedding_scale");
    private static final String LOG_MULTIPLIER = "rope.scaling.yarn_log_multiplier";
    /// Of `expert_gating_func`.
    private static final int SOFTMAX = 1;

    private static final int SIGMOID = 2;
    private static final List<String> STOP_ROLES = List.of("bos", "eos", "eot", "eom");

    private final GgufMetadata metadata;
    private final Map<String, TensorLocation> tensors;
    private final Path file;
    private final Architecture architecture;
    private final String prefix;

    private GgufConfig(GgufHead head, Path file) {
        this.metadata = head.metadata();
        this.tensors = head.tensors().stream().collect(Collectors.toMap(TensorLocation::name, Function.identity()));
        this.file = file;
        String name = metadata.string("general.architecture")
                .orElseThrow(() -> metadata.bad("general.architecture", "is missing"));
        // Text from outside: there is no enum of what is not read.
        this.architecture = switch (name) {
            case "llama" -> Architecture.LLAMA;
            case "qwen2" -> Architecture.QWEN2;
            case "qwen3" -> Architecture.QWEN3;
            case "qwen3moe" -> Architecture.QWEN3_MOE;
            case "deepseek2" -> hasSigmoid() ? Architecture.DEEPSEEK_V3 : Architecture.DEEPSEEK_V2;
            default ->
                throw metadata.bad(
                        "general.architecture",
                        "is \"%s\"; llama, qwen2, qwen3, qwen3moe and deepseek2 are read",
                        name);
        };
        this.prefix = name + ".";
    }

    static ModelConfig read(GgufHead head, Path file) {
        GgufConfig config = new GgufConfig(head, file);
        try {
            return config.read();
        } catch (CheckpointException e) {
            throw e;
        } catch (PenstockException e) {
            throw new CheckpointException(file, config.prefix + "*", e, "%s", e.getMessage());
        }
    }

    /// Of DeepSeek's models; files without the key are of the second.
    private boolean hasSigmoid() {
        long function = metadata.integer("deepseek2.expert_gating_func").orElse(SOFTMAX);
        if (function != SOFTMAX && function != SIGMOID) {
            throw metadata.bad("deepseek2.expert_gating_func", "is %d, which is not built", function);
        }
        return function == SIGMOID;
    }

    private ModelConfig read() {
        refuseVariants();
        int heads = required("attention.head_count");
        int hidden = required("embedding_length");
        Optional<LatentAttention> latent = latent();
        // Compressed keys are shared by all heads, which newer files call one key/value head.
        int kvHeads = latent.isPresent() ? heads : optional("attention.head_count_kv", heads);
        int headSize = latent.isPresent() ? latent.get().headSize() : headSize(heads, hidden);
        Optional<Experts> experts = experts();
        int vocabulary = vocabulary();
        RopeScaling scaling = scaling();
        int context = required("context_length");
        if (scaling instanceof RopeScaling.Yarn yarn) {
            context = Math.max(context, yarn.stretchedContextLength());
        }
        return new ModelConfig(
                architecture,
                required("block_count"),
                hidden,
                experts.isPresent()
                        ? optional("feed_forward_length", experts.get().intermediateSize())
                        : required("feed_forward_length"),
                heads,
                kvHeads,
                headSize,
                vocabulary,
                context,
                metadata.number(prefix + "attention.layer_norm_rms_epsilon")
                        .orElseThrow(() -> missing("attention.layer_norm_rms_epsilon")),
                metadata.number(prefix + "rope.freq_base").orElse(10_000),
                switch (architecture) {
                    case LLAMA, DEEPSEEK_V2, DEEPSEEK_V3 -> RopeLayout.INTERLEAVED;
                    case QWEN2, QWEN3, QWEN3_MOE -> RopeLayout.HALVES;
                },
                scaling,
                tensors.containsKey(NameScheme.GGUF.spell(0, LayerTensor.QUERY_BIAS)),
                !tensors.containsKey(NameScheme.GGUF.spell(TensorNames.OUTPUT)),
                switch (architecture) {
                    case QWEN3, QWEN3_MOE -> true;
                    case LLAMA, QWEN2, DEEPSEEK_V2, DEEPSEEK_V3 -> false;
                },
                latent,
                experts);
    }

    private Optional<LatentAttention> latent() {
        return switch (architecture) {
            case LLAMA, QWEN2, QWEN3, QWEN3_MOE -> Optional.empty();
            case DEEPSEEK_V2, DEEPSEEK_V3 -> {
                // Newer files give the sizes as heads of compressed keys see them, and the plain ones apart.
                boolean apart = metadata.has(prefix + "attention.key_length_mla");
                String kind = apart ? "_mla" : "";
                int rotary = required("rope.dimension_count");
                yield Optional.of(new LatentAttention(
                        metadata.has(prefix + "attention.q_lora_rank") ? required("attention.q_lora_rank") : 0,
                        required("attention.kv_lora_rank"),
                        required("attention.key_length" + kind) - rotary,
                        rotary,
                        required("attention.value_length" + kind),
                        latentScale(),
                        tensors.containsKey("blk.0.attn_k_b.weight")));
            }
        };
    }

    /// The square of the temperature of YaRN, which models of this kind apply to the scores.
    private double latentScale() {
        double temperature = 1
                + metadata.number(prefix + LOG_MULTIPLIER).orElse(0)
                        * Math.log(Math.max(
                                1,
                                metadata.number(prefix + "rope.scaling.factor").orElse(1)));
        return temperature * temperature;
    }

    private Optional<Experts> experts() {
        boolean third = architecture == Architecture.DEEPSEEK_V3;
        return switch (architecture) {
            case LLAMA, QWEN2, QWEN3 -> {
                String count = prefix + "expert_count";
                if (metadata.has(count) && !isZero(count)) {
                    throw metadata.bad(count, "a variant of %s that is not built", architecture);
                }
                yield Optional.empty();
            }
            case QWEN3_MOE ->
                Optional.of(new Experts(
                        required("expert_count"),
                        required("expert_used_count"),
                        required("expert_feed_forward_length"),
                        0,
                        0,
                        Experts.Routing.SOFTMAX,
                        metadata.bool(prefix + "expert_weights_norm").orElse(true),
                        1,
                        1,
                        1));
            case DEEPSEEK_V2, DEEPSEEK_V3 ->
                Optional.of(new Experts(
                        required("expert_count"),
                        required("expert_used_count"),
                        required("expert_feed_forward_length"),
                        Math.multiplyExact(
                                Math.clamp(required("expert_feed_forward_length"), 0, 1 << 20),
                                Math.clamp(whole("expert_shared_count", 0), 0, 1 << 10)),
                        whole("leading_dense_block_count", 0),
                        third ? Experts.Routing.BIASED_SIGMOID : Experts.Routing.SOFTMAX,
                        metadata.bool(prefix + "expert_weights_norm").orElse(false),
                        metadata.number(prefix + "expert_weights_scale").orElse(1),
                        optional("expert_group_count", 1),
                        optional("expert_group_used_count", 1)));
        };
    }

    /// A count that may be 0.
    private int whole(String key, int otherwise) {
        long value = metadata.integer(prefix + key).orElse(otherwise);
        return value == 0 ? 0 : exact(key, value);
    }

    private void refuseVariants() {
        for (String key : REFUSED) {
            String whole = prefix + key;
            if (metadata.has(whole) && !isZero(whole)) {
                throw metadata.bad(whole, "a variant of %s that is not built", architecture);
            }
        }
        if (metadata.bool(prefix + "attention.causal").orElse(true) == false) {
            throw metadata.bad(prefix + "attention.causal", "is false, the model does not generate text");
        }
    }

    private boolean isZero(String key) {
        try {
            return metadata.integer(key).orElseThrow() == 0;
        } catch (CheckpointException notAnInteger) {
            return metadata.number(key).orElseThrow() == 0;
        }
    }

    private int headSize(int heads, int hidden) {
        OptionalLong keyLength = metadata.integer(prefix + "attention.key_length");
        if (keyLength.isEmpty() && (heads < 1 || hidden % heads != 0)) {
            throw metadata.bad(
                    prefix + "attention.head_count",
                    "embedding length %d does not divide over %d heads",
                    hidden,
                    heads);
        }
        int headSize = keyLength.isPresent() ? required("attention.key_length") : hidden / heads;
        for (String same : List.of("attention.value_length", "rope.dimension_count")) {
            int value = optional(same, headSize);
            if (value != headSize) {
                throw metadata.bad(prefix + same, "is %d, heads of size %d need the same", value, headSize);
            }
        }
        return headSize;
    }

    private int vocabulary() {
        TensorLocation embedding = tensors.get(NameScheme.GGUF.spell(TensorNames.EMBEDDING));
        if (embedding == null) {
            throw new CheckpointException(file, NameScheme.GGUF.spell(TensorNames.EMBEDDING), "is missing");
        }
        long rows = embedding.shape().extent(0);
        agrees(prefix + "vocab_size", metadata.integer(prefix + "vocab_size"), rows);
        for (String key : List.of(TOKENS, "tokenizer.ggml.token_type", "tokenizer.ggml.scores")) {
            agrees(key, metadata.length(key), rows);
        }
        for (String role : STOP_ROLES) {
            long id = metadata.tokenId(role).orElse(0);
            if (id < 0 || id >= rows) {
                throw metadata.bad(
                        "tokenizer.ggml." + role + "_token_id", "is %d, the vocabulary has %d tokens", id, rows);
            }
        }
        return (int) Math.min(Integer.MAX_VALUE, rows);
    }

    private void agrees(String key, OptionalLong count, long rows) {
        if (count.isPresent() && count.getAsLong() != rows) {
            throw metadata.bad(key, "says %d tokens, the embedding has %d rows", count.getAsLong(), rows);
        }
    }

    private RopeScaling scaling() {
        boolean divisors = tensors.containsKey(NameScheme.GGUF.spell(TensorNames.ROPE_DIVISORS));
        RopeScaling scaling = declaredScaling();
        if (!divisors) {
            return scaling;
        }
        if (!(scaling instanceof RopeScaling.None)) {
            throw metadata.bad(
                    prefix + "rope.scaling.type",
                    "%s and %s at once",
                    scaling,
                    NameScheme.GGUF.spell(TensorNames.ROPE_DIVISORS));
        }
        return new RopeScaling.Divisors();
    }

    private RopeScaling declaredScaling() {
        String key = prefix + "rope.scaling.type";
        OptionalDouble factor = metadata.number(prefix + "rope.scaling.factor");
        if (factor.isEmpty()) {
            factor = metadata.number(prefix + "rope.scale_linear");
        }
        // A factor without a type is linear; 0 means none.
        boolean stretched = factor.orElse(0) != 0 && factor.orElse(1) != 1;
        String type = metadata.string(key).orElse(stretched ? "linear" : "none");
        double by = factor.orElse(1);
        // Text from outside, as above.
        return switch (type) {
            case "none" -> new RopeScaling.None();
            case "linear" -> stretched ? new RopeScaling.Linear(by) : new RopeScaling.None();
            case "yarn" -> yarn(by);
            default -> throw metadata.bad(key, "is \"%s\"; none, linear and yarn are read", type);
        };
    }

    private RopeScaling yarn(double factor) {
        boolean ofScores = metadata.has(prefix + LOG_MULTIPLIER);
        String unread = prefix + "rope.scaling.yarn_ext_factor";
        if (metadata.has(unread)) {
            throw metadata.bad(unread, "is not read");
        }
        boolean compressed = switch (architecture) {
            case DEEPSEEK_V2, DEEPSEEK_V3 -> true;
            case LLAMA, QWEN2, QWEN3, QWEN3_MOE -> false;
        };
        if (ofScores && !compressed) {
            throw metadata.bad(prefix + LOG_MULTIPLIER, "is not read");
        }
        // llama.cpp multiplies the paper's temperature by the file's factor.
        // Where the scores have a temperature of their own, it stands in this one's place.
        double attention = (ofScores ? 1 : RopeScaling.Yarn.defaultAttentionFactor(factor))
                * metadata.number(prefix + "rope.scaling.attn_factor").orElse(1);
        return new RopeScaling.Yarn(
                factor,
                attention,
                metadata.number(prefix + "rope.scaling.yarn_beta_fast").orElse(32),
                metadata.number(prefix + "rope.scaling.yarn_beta_slow").orElse(1),
                optional("rope.scaling.original_context_length", required("context_length")));
    }

    private int required(String key) {
        long value = metadata.integer(prefix + key).orElseThrow(() -> missing(key));
        return exact(key, value);
    }

    private int optional(String key, int otherwise) {
        return exact(key, metadata.integer(prefix + key).orElse(otherwise));
    }

    // ModelConfig bounds sizes; here only what an int cannot hold, or arithmetic before it cannot take.
    private int exact(String key, long value) {
        if (value < 1 || value > Integer.MAX_VALUE) {
            throw metadata.bad(prefix + key, "is %d, out of bounds", value);
        }
        return (int) value;
    }

    private CheckpointException missing(String key) {
        return metadata.bad(prefix + key, "is missing");
    }
}
