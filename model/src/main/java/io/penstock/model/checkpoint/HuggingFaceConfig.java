package io.penstock.model.checkpoint;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.errorprone.annotations.FormatMethod;
import com.google.errorprone.annotations.FormatString;
import io.penstock.model.PenstockException;
import io.penstock.model.config.Experts;
import io.penstock.model.config.LatentAttention;
import io.penstock.model.config.ModelConfig;
import io.penstock.model.config.ModelConfig.Architecture;
import io.penstock.model.config.ModelConfig.RopeLayout;
import io.penstock.model.config.RopeScaling;
import java.lang.foreign.MemorySegment;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// The configuration that a Hugging Face `config.json` describes, with transformers' defaults. Settings
/// that would change the arithmetic in a way that is not built are refused, and so is a file that says
/// two things at once.
final class HuggingFaceConfig {
    /// Real ones have some 1,000 bytes. Bounds the tree made of it.
    static final long LONGEST = 256 << 10;

    private static final Path FILE = Path.of(SafetensorsCheckpoint.CONFIG);
    private static final ObjectMapper JSON =
            new ObjectMapper(StrictJson.FACTORY).enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);

    private final JsonNode json;
    private final Architecture architecture;

    private HuggingFaceConfig(JsonNode json) {
        this.json = json;
        this.architecture = architecture();
    }

    /// @param text the whole file
    static ModelConfig read(MemorySegment text) {
        return parse(text).read();
    }

    /// @param text the whole file
    static HuggingFaceConfig parse(MemorySegment text) {
        JsonNode json;
        try {
            String decoded = StandardCharsets.UTF_8
                    .newDecoder()
                    .onMalformedInput(CodingErrorAction.REPORT)
                    .decode(text.asByteBuffer())
                    .toString();
            json = JSON.readTree(decoded);
        } catch (CharacterCodingException e) {
            throw new CheckpointException(FILE, "JSON", e, "is not UTF-8: %s", e.getMessage());
        } catch (JsonProcessingException e) {
            throw new CheckpointException(FILE, "JSON", e, "is not well-formed: %s", e.getMessage());
        }
        if (!json.isObject()) {
            throw new CheckpointException(FILE, "JSON", "holds %s, an object is expected", json.getNodeType());
        }
        return new HuggingFaceConfig(json);
    }

    ModelConfig read() {
        try {
            return config();
        } catch (CheckpointException e) {
            throw e;
        } catch (PenstockException e) {
            throw new CheckpointException(FILE, "configuration", e, "%s", e.getMessage());
        }
    }

    private Architecture architecture() {
        JsonNode names = json.path("architectures");
        if (names.size() != 1 || !names.path(0).isTextual()) {
            throw bad("architectures", "is %s, an array of one name is expected", shown(names));
        }
        // Text from outside: there is no enum of what is not read.
        Architecture named = switch (names.path(0).textValue()) {
            case "LlamaForCausalLM", "MistralForCausalLM", "Phi3ForCausalLM" -> Architecture.LLAMA;
            case "Qwen2ForCausalLM" -> Architecture.QWEN2;
            case "Qwen3ForCausalLM" -> Architecture.QWEN3;
            case "Qwen3MoeForCausalLM" -> Architecture.QWEN3_MOE;
            case "DeepseekV2ForCausalLM" -> Architecture.DEEPSEEK_V2;
            case "DeepseekV3ForCausalLM" -> Architecture.DEEPSEEK_V3;
            default ->
                throw bad(
                        "architectures",
                        "is %s; Llama, Mistral, Phi3, Qwen2, Qwen3, Qwen3Moe, DeepseekV2 and DeepseekV3 are read, each"
                                + " ForCausalLM",
                        shown(names));
        };
        String type = switch (named) {
            case LLAMA ->
                switch (names.path(0).textValue()) {
                    case "MistralForCausalLM" -> "mistral";
                    case "Phi3ForCausalLM" -> "phi3";
                    default -> "llama";
                };
            case QWEN2 -> "qwen2";
            case QWEN3 -> "qwen3";
            case QWEN3_MOE -> "qwen3_moe";
            case DEEPSEEK_V2 -> "deepseek_v2";
            case DEEPSEEK_V3 -> "deepseek_v3";
        };
        require("model_type", type, type);
        return named;
    }

    /// How matrices are stored, where not as plain numbers.
    QuantisationScheme quantisation() {
        return QuantisationScheme.of(json.path("quantization_config"));
    }

    private ModelConfig config() {
        refuseVariants();
        int hidden = integer("hidden_size");
        int heads = integer("num_attention_heads");
        Optional<LatentAttention> latent = latent();
        if (latent.isEmpty() && !has("head_dim") && (heads < 1 || hidden % heads != 0)) {
            throw bad("num_attention_heads", "hidden_size %d does not divide over %d heads", hidden, heads);
        }
        RopeScaling scaling = scaling();
        int context = integer("max_position_embeddings");
        if (scaling instanceof RopeScaling.Yarn yarn) {
            context = Math.max(context, yarn.stretchedContextLength());
        } else if (scaling instanceof RopeScaling.Dynamic dynamic) {
            context = dynamic.stretchedContextLength();
        }
        return new ModelConfig(
                architecture,
                integer("num_hidden_layers"),
                hidden,
                integer("intermediate_size"),
                heads,
                has("num_key_value_heads") ? integer("num_key_value_heads") : heads,
                latent.isPresent() ? latent.get().headSize() : has("head_dim") ? integer("head_dim") : hidden / heads,
                integer("vocab_size"),
                context,
                number(json, "rms_norm_eps").orElseThrow(() -> bad("rms_norm_eps", "is missing")),
                theta(),
                latent.isPresent() && flag("rope_interleave", true) ? RopeLayout.INTERLEAVED : RopeLayout.HALVES,
                scaling,
                bias(),
                flag("tie_word_embeddings"),
                switch (architecture) {
                    case QWEN3, QWEN3_MOE -> true;
                    case LLAMA, QWEN2, DEEPSEEK_V2, DEEPSEEK_V3 -> false;
                },
                latent,
                experts());
    }

    private boolean bias() {
        return switch (architecture) {
            case QWEN2 -> true;
            case LLAMA, QWEN3, QWEN3_MOE -> flag("attention_bias");
            case DEEPSEEK_V2, DEEPSEEK_V3 -> {
                if (flag("attention_bias")) {
                    throw bad("attention_bias", "is true, which is not built");
                }
                yield false;
            }
        };
    }

    private Optional<LatentAttention> latent() {
        return switch (architecture) {
            case LLAMA, QWEN2, QWEN3, QWEN3_MOE -> Optional.empty();
            case DEEPSEEK_V2, DEEPSEEK_V3 ->
                Optional.of(new LatentAttention(
                        has("q_lora_rank") ? integer("q_lora_rank") : 0,
                        integer("kv_lora_rank"),
                        integer("qk_nope_head_dim"),
                        integer("qk_rope_head_dim"),
                        integer("v_head_dim"),
                        latentScale()));
        };
    }

    /// The temperature of YaRN, which models of this kind apply to the scores as well.
    private double latentScale() {
        JsonNode rope = rope();
        double all = number(rope, "mscale_all_dim").orElse(0.0);
        double factor = number(rope, "factor").orElse(1.0);
        if (all == 0 || factor <= 1) {
            return 1;
        }
        double temperature = 0.1 * all * Math.log(factor) + 1;
        return temperature * temperature;
    }

    private Optional<Experts> experts() {
        return switch (architecture) {
            case LLAMA, QWEN2, QWEN3 -> Optional.empty();
            case QWEN3_MOE -> {
                requireOne("decoder_sparse_step");
                if (!json.path("mlp_only_layers").isEmpty()) {
                    throw bad("mlp_only_layers", "names some, which is not built");
                }
                yield Optional.of(new Experts(
                        has("num_experts") ? integer("num_experts") : integer("num_local_experts"),
                        integer("num_experts_per_tok"),
                        integer("moe_intermediate_size"),
                        0,
                        0,
                        Experts.Routing.SOFTMAX,
                        flag("norm_topk_prob"),
                        1,
                        1,
                        1));
            }
            case DEEPSEEK_V2, DEEPSEEK_V3 -> deepSeekExperts();
        };
    }

    private Optional<Experts> deepSeekExperts() {
        boolean third = architecture == Architecture.DEEPSEEK_V3;
        requireOne("moe_layer_freq");
        String method = text("topk_method", third ? "noaux_tc" : "greedy");
        boolean grouped = third ? method.equals("noaux_tc") : method.equals("group_limited_greedy");
        if (!grouped && (third || !method.equals("greedy"))) {
            throw bad("topk_method", "is \"%s\", which is not built for this model", method);
        }
        require("scoring_func", third ? "sigmoid" : "softmax", third ? "sigmoid" : "softmax");
        if (!third && flag("norm_topk_prob")) {
            throw bad("norm_topk_prob", "is true, which is not built for this model");
        }
        int size = integer("moe_intermediate_size");
        int shared = has("n_shared_experts") ? integer("n_shared_experts") : 0;
        return Optional.of(new Experts(
                has("n_routed_experts") ? integer("n_routed_experts") : integer("num_local_experts"),
                integer("num_experts_per_tok"),
                size,
                Math.multiplyExact(Math.clamp(size, 0, 1 << 20), Math.clamp(shared, 0, 1 << 10)),
                has("first_k_dense_replace") ? integer("first_k_dense_replace") : third ? 3 : 0,
                third ? Experts.Routing.BIASED_SIGMOID : Experts.Routing.SOFTMAX,
                third && flag("norm_topk_prob", true),
                number(json, "routed_scaling_factor").orElse(third ? 2.5 : 1.0),
                grouped ? integer("n_group") : 1,
                grouped ? integer("topk_group") : 1));
    }

    /// Layers behind those of the model that guess further tokens.
    int guessingLayers() {
        return has("num_nextn_predict_layers") ? Math.clamp(integer("num_nextn_predict_layers"), 0, 1_000) : 0;
    }

    private void requireOne(String key) {
        if (has(key) && integer(key) != 1) {
            throw bad(key, "is %s, which is not built", shown(json.path(key)));
        }
    }

    private void refuseVariants() {
        // The window of Mistral and Phi is on unless it is null; that of others has a switch.
        String model = json.path("model_type").asText();
        if ((model.equals("mistral") || model.equals("phi3")) && has("sliding_window")) {
            throw bad("sliding_window", "is %s, which is not built", shown(json.path("sliding_window")));
        }
        require("hidden_act", "silu", null);
        for (String key : List.of("mlp_bias", "use_sliding_window")) {
            if (flag(key)) {
                throw bad(key, "is true, which is not built");
            }
        }
        for (JsonNode settings : List.of(json, rope())) {
            if (number(settings, "partial_rotary_factor").orElse(1.0) != 1) {
                String given = shown(settings.path("partial_rotary_factor"));
                throw bad("partial_rotary_factor", "is %s, which is not built", given);
            }
        }
        for (JsonNode type : json.path("layer_types")) {
            if (!type.asText().equals("full_attention")) {
                throw bad("layer_types", "names %s, full_attention is built", shown(type));
            }
        }
    }

    /// The settings of rotary embeddings: under `rope_parameters` since transformers 5, `rope_scaling`
    /// before.
    private JsonNode rope() {
        JsonNode older = json.path("rope_scaling");
        JsonNode newer = json.path("rope_parameters");
        for (JsonNode settings : List.of(older, newer)) {
            if (!settings.isMissingNode() && !settings.isNull() && !settings.isObject()) {
                throw bad("rope_scaling", "is %s, an object is expected", shown(settings));
            }
        }
        if (older.isObject() && newer.isObject() && !older.equals(newer)) {
            throw bad("rope_scaling", "and rope_parameters say different things");
        }
        return newer.isObject() ? newer : older;
    }

    private double theta() {
        Optional<Double> outer = number(json, "rope_theta");
        Optional<Double> inner = number(rope(), "rope_theta");
        if (outer.isPresent() && inner.isPresent() && !outer.equals(inner)) {
            throw bad("rope_theta", "is %s, and %s in rope_parameters", outer.get(), inner.get());
        }
        return outer.or(() -> inner).orElse(10_000.0);
    }

    private RopeScaling scaling() {
        JsonNode rope = rope();
        JsonNode type = rope.path("rope_type");
        JsonNode legacy = rope.path("type");
        if (type.isTextual() && legacy.isTextual() && !type.equals(legacy)) {
            throw bad("rope_scaling.rope_type", "is %s, and type %s", shown(type), shown(legacy));
        }
        String name = type.isTextual() ? type.textValue() : legacy.isTextual() ? legacy.textValue() : "default";
        if (name.equals("default") && rope.has("factor")) {
            throw bad("rope_scaling", "has a factor and no type: %s", shown(rope));
        }
        // Text from outside, as above.
        return switch (name) {
            case "default" -> new RopeScaling.None();
            case "linear" -> new RopeScaling.Linear(needed(rope, "factor"));
            case "dynamic" -> new RopeScaling.Dynamic(needed(rope, "factor"), integer("max_position_embeddings"));
            case "llama3" ->
                new RopeScaling.Llama3(
                        needed(rope, "factor"),
                        needed(rope, "low_freq_factor"),
                        needed(rope, "high_freq_factor"),
                        integer(rope, "rope_scaling.", "original_max_position_embeddings"));
            case "yarn" -> yarn(rope);
            // Phi-3's first files call it "su".
            case "longrope", "su" -> longRope(rope);
            default ->
                throw bad(
                        "rope_scaling.rope_type",
                        "is \"%s\"; default, linear, dynamic, llama3, yarn and longrope are read",
                        name);
        };
    }

    private RopeScaling longRope(JsonNode rope) {
        int context = integer("max_position_embeddings");
        // Phi-3 has it beside the settings, others among them.
        int original = has("original_max_position_embeddings")
                ? integer("original_max_position_embeddings")
                : has(rope, "original_max_position_embeddings")
                        ? integer(rope, "rope_scaling.", "original_max_position_embeddings")
                        : context;
        double factor = number(rope, "factor").orElse((double) context / original);
        double amplitude = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original));
        return new RopeScaling.LongRope(
                numbers(rope, "short_factor"),
                numbers(rope, "long_factor"),
                number(rope, "attention_factor").orElse(amplitude),
                original);
    }

    private static List<Double> numbers(JsonNode rope, String key) {
        List<Double> numbers = new ArrayList<>();
        for (JsonNode number : rope.path(key)) {
            if (!number.isNumber()) {
                throw bad("rope_scaling." + key, "has %s, numbers are expected", shown(number));
            }
            numbers.add(number.doubleValue());
        }
        return numbers;
    }

    private RopeScaling yarn(JsonNode rope) {
        if (!rope.path("truncate").asBoolean(true)) {
            throw bad("rope_scaling.truncate", "is false, which is not built");
        }
        double factor = needed(rope, "factor");
        Optional<Double> scale = number(rope, "mscale");
        Optional<Double> scaleAll = number(rope, "mscale_all_dim");
        double attention = RopeScaling.Yarn.defaultAttentionFactor(factor);
        if (scale.isPresent() && scaleAll.isPresent() && factor > 1) {
            attention = (1 + 0.1 * scale.get() * Math.log(factor)) / (1 + 0.1 * scaleAll.get() * Math.log(factor));
        }
        return new RopeScaling.Yarn(
                factor,
                number(rope, "attention_factor").orElse(attention),
                number(rope, "beta_fast").orElse(32.0),
                number(rope, "beta_slow").orElse(1.0),
                has(rope, "original_max_position_embeddings")
                        ? integer(rope, "rope_scaling.", "original_max_position_embeddings")
                        : integer("max_position_embeddings"));
    }

    private boolean has(String key) {
        return has(json, key);
    }

    // transformers writes null for "the default".
    private static boolean has(JsonNode node, String key) {
        return node.hasNonNull(key);
    }

    private int integer(String key) {
        return integer(json, "", key);
    }

    private int integer(JsonNode node, String path, String key) {
        JsonNode value = node.path(key);
        if (!value.isIntegralNumber() || !value.canConvertToInt()) {
            throw bad(path + key, "is %s, a whole number is expected", shown(value));
        }
        return value.intValue();
    }

    private double needed(JsonNode node, String key) {
        return number(node, key).orElseThrow(() -> bad("rope_scaling." + key, "is missing"));
    }

    private Optional<Double> number(JsonNode node, String key) {
        if (!has(node, key)) {
            return Optional.empty();
        }
        JsonNode value = node.path(key);
        if (!value.isNumber()) {
            throw bad(key, "is %s, a number is expected", shown(value));
        }
        return Optional.of(value.doubleValue());
    }

    private String text(String key, String otherwise) {
        JsonNode value = json.path(key);
        return value.isTextual() ? value.textValue() : otherwise;
    }

    private boolean flag(String key) {
        return flag(key, false);
    }

    private boolean flag(String key, boolean otherwise) {
        if (!has(json, key)) {
            return otherwise;
        }
        JsonNode value = json.path(key);
        if (!value.isBoolean()) {
            throw bad(key, "is %s, true or false is expected", shown(value));
        }
        return value.booleanValue();
    }

    /// @param otherwise what a file without the key means; null if it must be there
    private void require(String key, String wanted, String otherwise) {
        JsonNode value = json.path(key);
        boolean matches = has(key) ? value.isTextual() && value.textValue().equals(wanted) : wanted.equals(otherwise);
        if (!matches) {
            throw bad(key, "is %s, \"%s\" is expected", shown(value), wanted);
        }
    }

    private static String shown(JsonNode value) {
        String text = value.isMissingNode() ? "missing" : value.toString();
        return text.length() <= 80 ? text : text.substring(0, 80) + "…";
    }

    @FormatMethod
    private static CheckpointException bad(String key, @FormatString String format, Object... arguments) {
        return new CheckpointException(FILE, key, format, arguments);
    }
}
